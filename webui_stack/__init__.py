"""How the stack is observed, planned, changed and proved. Nothing here touches a host on import."""
