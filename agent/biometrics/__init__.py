"""Face and finger: comparing the person with the reference the credential carries."""
