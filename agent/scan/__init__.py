"""From frame to payload: the QR decoders, in a sandboxed process that may hang or die."""
