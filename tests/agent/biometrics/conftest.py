"""Fixtures of the biometric tests: two portraits, the shipped networks, a module on a pty."""

from tests.support.faces import (  # noqa: F401
    as_frame,
    astronaut,
    astronaut_face,
    detector,
    embedder,
    encoded,
    hopper,
    models,
    photos,
    runtime,
    scene,
    shared_faces,
    verifier,
)
from tests.support.fingers import ours, plug  # noqa: F401
