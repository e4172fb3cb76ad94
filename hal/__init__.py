"""What touches the outside world: cameras, pins, fingerprint modules. Never imports `agent`."""
