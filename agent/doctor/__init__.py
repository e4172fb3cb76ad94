"""Looks at every part of a gate and says what is wrong and what to do."""
