"""Rules about what was observed of a host: faults, advice, and the next step."""
