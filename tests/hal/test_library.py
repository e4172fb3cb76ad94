"""What other people's libraries raise, as they raise it: one line each, with what mends it."""

from __future__ import annotations

import pytest

from hal.errors import CameraTimeout, DeviceUnavailable
from hal.library import LONGEST, explain, remedy, starting

# Texts as they were reported of the libraries, and a word of what mends each.
KNOWN = [
    (
        ValueError(
            "numpy.dtype size changed, may indicate binary incompatibility. "
            "Expected 96 from C header, got 88 from PyObject"
        ),
        "numpy",
    ),
    (ImportError("numpy.core.multiarray failed to import"), "numpy"),
    (ImportError("numpy._core.umath failed to import"), "numpy"),
    (
        ImportError(
            "\nA module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.1.0 as it may "
            "crash."
        ),
        "remove numpy",
    ),
    (AttributeError("_ARRAY_API not found"), "remove numpy"),
    (
        RuntimeError("module compiled against API version 0x10 but this version of numpy is 0xf"),
        "remove numpy",
    ),
    (RuntimeError("Cannot determine SOC peripheral base address"), "python3-rpi-lgpio"),
    (RuntimeError("Failed to add edge detection"), "python3-rpi-lgpio"),
    (RuntimeError("No access to /dev/mem.  Try running as root!"), "python3-rpi-lgpio"),
    (ImportError("Unable to find zbar shared library"), "libzbar0"),
    (
        ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
        "opencv-python-headless",
    ),
    (
        ImportError("libcamera.so.0.3: cannot open shared object file: No such file or directory"),
        "install the package",
    ),
    (ImportError("libgomp.so.1: cannot allocate memory in static TLS block"), "LD_PRELOAD"),
    (ImportError("x.so: undefined symbol: _ZN9libcamera8ControlsE"), "./setup.sh"),
    (OSError("libtflite.so: invalid ELF header"), "./setup.sh"),
    (ImportError("/lib/libm.so.6: version `GLIBC_2.38' not found"), "./setup.sh"),
    (RuntimeError("Failed to acquire camera: Device or resource busy"), "another program"),
    (RuntimeError("Pipeline handler in use by another process"), "another program"),
    (Exception("GPIO busy"), "another program"),
    (OSError("[Errno 11] Could not exclusively lock port /dev/serial0: busy"), "another program"),
    (PermissionError(13, "Permission denied", "/dev/gpiochip0"), "group"),
]


@pytest.mark.parametrize(("error", "word"), KNOWN, ids=[str(error)[:40] for error, _ in KNOWN])
def test_a_known_failure_has_its_remedy(error: Exception, word: str) -> None:
    line = explain(error, "look elsewhere")
    assert word in remedy(error)
    assert line.endswith(remedy(error))
    assert "\n" not in line
    assert "look elsewhere" not in line


def test_an_unknown_one_says_what_the_caller_knows() -> None:
    assert explain(RuntimeError("out of magic"), "buy more") == "out of magic; buy more"
    assert explain(RuntimeError("out of magic")) == "out of magic"
    assert explain(RuntimeError()) == "RuntimeError"
    assert remedy("out of magic") == ""


def test_a_long_text_is_cut() -> None:
    assert len(explain(ValueError("x" * 10_000))) == LONGEST + 3
    assert explain(ValueError("x" * LONGEST)) == "x" * LONGEST


@pytest.mark.parametrize(
    "error",
    [ImportError("a"), ValueError("a"), AttributeError("a"), RuntimeError("a"), OSError("a")],
    ids=repr,
)
def test_whatever_is_raised_becomes_one_error_that_names_the_part(error: Exception) -> None:
    told = pytest.raises(DeviceUnavailable, match=r"^camera x: a; check it$")
    with told as found, starting("camera x", "check it"):
        raise error
    assert found.value.__cause__ is error


def test_our_own_errors_and_the_keyboard_pass() -> None:
    with pytest.raises(CameraTimeout, match=r"^ours$"), starting("camera x"):
        raise CameraTimeout("ours")
    with pytest.raises(KeyboardInterrupt), starting("camera x"):
        raise KeyboardInterrupt
    with starting("camera x"):
        done = True
    assert done
