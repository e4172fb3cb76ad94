"""Other people's libraries: what they raise when they are loaded or set up, as one line that helps.

A library that does not fit raises what it likes: ImportError where a file is missing, ValueError
where it was built for another numpy, RuntimeError on a board that it does not know, OSError of the
loader, or an exception of its own. Whoever starts one does it inside `starting`, and says nothing
but what is to be done; what is known of a message stands in one table here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hal.errors import DeviceUnavailable, HalError

__all__ = ["explain", "remedy", "starting"]

LONGEST: Final = 300
"""Characters of a library's own words that a line repeats."""

_NUMPY = (
    "the numpy that is loaded is not the one it was built for: remove numpy from this environment "
    "or run ./setup.sh, which installs the one that fits"
)
_OLD_GPIO = (
    "that is the old RPi.GPIO, which does not know this board: remove it (apt remove "
    "python3-rpi.gpio, pip uninstall RPi.GPIO) and install python3-rpi-lgpio"
)
_OTHER_SYSTEM = "it was built for another system or Python: ./setup.sh installs what fits this one"
_BUSY = "another program has it: stop that (another daemon, rpicam-hello, a test)"
_NOT_ALLOWED = "this user may not: it must be in the group of the device (gpio, video, dialout)"

REMEDIES: Final[tuple[tuple[str, str], ...]] = (
    ("numpy.dtype size changed", _NUMPY),
    ("numpy.ndarray size changed", _NUMPY),
    ("multiarray failed to import", _NUMPY),
    ("umath failed to import", _NUMPY),
    ("compiled using numpy 1.x", _NUMPY),
    ("compiled against api version", _NUMPY),
    ("compiled against abi version", _NUMPY),
    ("_array_api not found", _NUMPY),
    ("soc peripheral base address", _OLD_GPIO),
    ("failed to add edge detection", _OLD_GPIO),
    ("no access to /dev/mem", _OLD_GPIO),
    ("unable to find zbar", "install it with: apt install libzbar0, or set scan.pyzbar = false"),
    ("libzbar", "install it with: apt install libzbar0, or set scan.pyzbar = false"),
    ("libgl.so", "that is OpenCV for desktops: install opencv-python-headless in its place"),
    ("static tls block", "set LD_PRELOAD to the file it names, in the unit's Environment="),
    ("undefined symbol", _OTHER_SYSTEM),
    ("invalid elf header", _OTHER_SYSTEM),
    ("wrong elf class", _OTHER_SYSTEM),
    ("version `glibc", _OTHER_SYSTEM),
    ("exec format error", _OTHER_SYSTEM),
    ("illegal instruction", _OTHER_SYSTEM),
    ("sigill", _OTHER_SYSTEM),
    ("cannot open shared object file", "install the package that has this file, or run ./setup.sh"),
    ("resource busy", _BUSY),
    ("gpio busy", _BUSY),
    ("in use by another process", _BUSY),
    ("failed to acquire camera", _BUSY),
    ("could not exclusively lock port", _BUSY),
    ("permission denied", _NOT_ALLOWED),
    ("operation not permitted", _NOT_ALLOWED),
)
"""Words of a message, in small letters, and what mends it; the first that is found is told."""


def remedy(error: BaseException | str) -> str:
    """Return what mends a known failure, "" for one that is not known."""
    text = str(error).casefold()
    return next((words for known, words in REMEDIES if known in text), "")


def explain(error: BaseException, otherwise: str = "") -> str:
    """Return one line: what the library said, and what to do.

    Args:
        error: what it raised.
        otherwise: what to do where nothing is known of this failure.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = " ".join(lines[0].split())
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]}..."
    what = remedy(error) or otherwise
    return f"{said}; {what}" if what else said


@contextmanager
def starting(what: str, otherwise: str = "") -> Iterator[None]:
    """Make one `DeviceUnavailable` of whatever a library raises inside; our own errors pass.

    Args:
        what: names the part for the operator.
        otherwise: what to do where nothing is known of the failure.
    """
    try:
        yield
    except HalError:
        raise
    except Exception as error:
        raise DeviceUnavailable(f"{what}: {explain(error, otherwise)}") from error
