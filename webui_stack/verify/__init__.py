"""The proof that a stack works, from Valkey's own mouth and through a real websocket."""
