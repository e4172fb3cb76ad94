"""Drivers of barcode engines: on a serial line (`line`), and as a keyboard (`keyboard`)."""
