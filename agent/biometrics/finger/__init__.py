"""Fingers: one check against the credential or an enrolled slot, and doubts about the module."""
