"""What reaches a host: facts, operations, the session with it, and the program that runs there."""
