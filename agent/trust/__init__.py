"""Issuer keys, revocation and rosters: cached, signed, versioned."""
