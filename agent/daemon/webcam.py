"""What a webcam offers against what the settings ask of it, as a doctor says it."""

from __future__ import annotations

from typing import Final

from agent.daemon.hardware import camera_settings
from agent.settings.model import CameraConfig
from hal.v4l2.survey import Offer, survey

__all__ = ["look_at_webcam"]

SIZES_TOLD: Final = 6
OTHERS_TOLD: Final = 4
SHARE: Final = 0.75
"""Of the rate that is set: a webcam that has less is told."""
USB2_BYTES_S: Final = 24_000_000
"""What one webcam gets of a USB 2 bus; YUYV of 1280x720 is 18.4 MB at 10 frames a second."""


def look_at_webcam(camera: CameraConfig) -> tuple[str, str, str]:
    """Look at a webcam without starting it.

    Returns:
        What it is and offers; what of the settings it cannot do, empty for nothing; what to do
        about that.

    Raises:
        HalError: it is not there, not ours, or does not answer.
    """
    offer = survey(camera_settings(camera))
    wrong, remedy = _against(offer, camera)
    return _words(offer), wrong, remedy


def _words(offer: Offer) -> str:
    told = [f"{offer.card} ({offer.driver}) at {offer.path}"]
    for name, sizes in offer.sizes.items():
        listed = " ".join(f"{width}x{height}" for width, height in sizes[:SIZES_TOLD])
        more = " ..." if len(sizes) > SIZES_TOLD else ""
        told.append(f"{name} {listed or 'of sizes that it does not tell'}{more}")
    if offer.others:
        more = ", ..." if len(offer.others) > OTHERS_TOLD else ""
        told.append(f"not read: {', '.join(offer.others[:OTHERS_TOLD])}{more}")
    told.append(f"has {', '.join(offer.controls)}" if offer.controls else "has no controls")
    return "; ".join(told)


def _against(offer: Offer, camera: CameraConfig) -> tuple[str, str]:
    """Return what it cannot do as set, and the remedy; empty where it can."""
    size = f"{camera.width}x{camera.height}"
    chosen = tuple(offer.sizes) if camera.format == "auto" else (camera.format,)
    has = [name for name in chosen if name in offer.rates]
    if not has and any(offer.sizes.get(name) for name in chosen):
        return (
            f"no {size} in {' or '.join(chosen)}: it takes another size",
            "set camera.width and camera.height to one that it offers",
        )
    if not has:
        return "", ""  # it tells no sizes, or the picture that is taken says it
    name = has[0]
    rate, wanted = offer.rates[name], camera.fps
    if rate and rate < wanted * SHARE:
        words = f"{rate:.3g} frames a second at most in {name} {size}, {wanted:g} are set"
    elif name == "YUYV" and camera.width * camera.height * 2 * wanted > USB2_BYTES_S:
        words = f"YUYV {size} at {wanted:g} frames a second is more than a USB 2 bus carries"
    else:
        return "", ""
    if "MJPG" in offer.rates and name != "MJPG":
        return words, 'set camera.format = "MJPG", or a smaller size'
    return words, "set a smaller size or camera.fps; another webcam has MJPG, or USB 3"
