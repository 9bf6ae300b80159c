"""People's data: saved, placed beside what is there, swapped, put back, counted."""
