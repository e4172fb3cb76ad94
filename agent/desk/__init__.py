"""The desk: the staff's web application, and the issuer that phones take credentials from."""
