"""What is done to a host, a step each: named operations, in the order `deploy.py` calls them."""
