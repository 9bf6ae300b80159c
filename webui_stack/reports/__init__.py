"""What a run saw, for people and machines: tables, pages, JSON."""
