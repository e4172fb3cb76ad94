"""OpenID for Verifiable Credential Issuance 1.0: the desk as an issuer that phones talk to."""
