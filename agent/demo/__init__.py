"""A day at two simulated gates: the real daemon on simulated hardware, with a broker of its own."""
