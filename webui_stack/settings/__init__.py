"""Settings: the model of all of them, its refusals, and where an operator's secrets come from."""
