"""The issuer's side: keys, credentials, and the codes that a phone shows."""
