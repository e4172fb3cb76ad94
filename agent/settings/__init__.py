"""Typed settings from one TOML file, their checks and their errors."""
