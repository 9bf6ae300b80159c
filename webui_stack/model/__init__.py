"""What a host, its Docker, a compose project, a swarm and a lock are, as observed and as wanted. Pure."""
