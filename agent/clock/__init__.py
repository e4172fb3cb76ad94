"""The clocks, and whether the wall clock may be believed: the one authority on time."""
