"""Drivers for a real Raspberry Pi, imported only when chosen."""
