"""The gate's pins: relay, lamps, beams, loops, and the mode it is in."""
