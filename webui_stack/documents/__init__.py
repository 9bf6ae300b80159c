"""The forms of what the host's program answers, as JSON documents, and how a form is checked. Pure."""
