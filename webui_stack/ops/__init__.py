"""pyinfra's side: facts, operations, and a run's session with each host."""
