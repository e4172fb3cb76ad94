"""Webcams and other cameras that the kernel shows as `/dev/video*` (Video4Linux 2)."""
