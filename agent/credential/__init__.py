"""Payload in, `Credential` out: one module a format, one strict COSE and CBOR core."""
