"""Credential, place and moment in; what is asked of the person, or one reason, out. Pure."""
