"""Faces: found, judged for quality, embedded, compared; one check from frames to a reason."""
