"""How the stack is observed, planned, changed and proved. Nothing here touches a host on import."""

__version__ = "0.2.0"
