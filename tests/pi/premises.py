"""The site of the emulated gate: what an installer writes by hand after `setup.sh install`.

Settings, a site profile, one issuer, and certificates for the broker by the documented script. The
private halves stay in a folder beside the card. The emulator's own slowness is in the settings and
nowhere else: longer deadlines, a small picture; the waiting times of the service come from a drop-in.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from agent.issuing.issue import new_issuer
from tests.pi.outside import HOST

CHECKOUT = Path(__file__).parents[2]
SITE, GATE = "emulated", "gate-1"
VIEW = "srv/view/view.png"
WIDTH, HEIGHT = 640, 480
RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
FAMILY: Final = "r307"
BAUD = 115_200
"""What QEMU opens the terminal at; it does not hand the guest's own speed on."""

SETTINGS = f"""
state_dir = "/var/lib/idgate"

[gate]
site = "{SITE}"
gate = "{GATE}"
profile = "pilot.toml"
biometric_timeout_s = 60
passage_timeout_s = 60

[[camera]]
driver = "simulated"
width = {WIDTH}
height = {HEIGHT}
fps = 4
timeout_s = 20

[scan]
deadline_ms = 5000
start_s = 120

[gpio]
gatekeeper = "/run/idgate-gatekeeper/socket"
driver = "rpi-gpio"

[trust]
directory = "trust"
clock_source = "confirmed"

[mqtt]
url = "mqtts://{HOST}:8883"
ca_file = "ca.crt"
cert_file = "{GATE}.crt"
key_file = "{GATE}.key"

[log]
format = "json"

[simulation]
frames = "/{VIEW}"
"""
FINGER_SETTINGS = f"""
[finger]
port = "/dev/ttyAMA0"
baud = {BAUD}
family = "{FAMILY}"
password_file = "/var/lib/idgate/finger-password"
pairing_file = "/var/lib/idgate/finger-pairing"
"""
PROFILE = """
name = "pilot"
title = "The emulated gate"
formats = ["native"]
kinds = ["library-card", "online-id"]
level = 1
dynamic = true
biometric = "{biometric}"
"""
PROFILE_PLAIN = PROFILE.format(biometric="none")
PROFILE_FINGER = PROFILE.format(biometric="finger") + 'biometric_basic = "none"\n'
SLOW = "[Service]\nTimeoutStartSec=300\nTimeoutStopSec=60\n"
SLOW_KEEPER = "[Service]\nTimeoutStartSec=300\nTimeoutStopSec=60\nWatchdogSec=60\n"


def make(root: Path, private: Path) -> None:
    """Write the site's files into a tree with the agent, and the private ones beside it."""
    private.mkdir(parents=True, exist_ok=True)
    issuer = new_issuer("city", "ES256")
    (private / "issuer.pem").write_bytes(issuer.key.private_pem())
    (private / "issuer.iss").write_text(issuer.iss)
    subprocess.run(
        [CHECKOUT / "docs/fleet/certificates.sh", private / "certs", HOST, GATE, "collector"],
        check=True, capture_output=True,
    )  # fmt: skip
    etc = root / "etc/idgate"
    files = {
        etc / "config.toml": SETTINGS.encode(),
        etc / "pilot.toml": PROFILE_PLAIN.encode(),
        etc / "trust/city.pem": issuer.key.public_pem(),
        etc / "trust/city.toml": issuer.trust_toml(()).encode(),
    }
    for name in ("ca.crt", f"{GATE}.crt", f"{GATE}.key"):
        files[etc / name] = (private / "certs" / name).read_bytes()
    group = _group(root, "idgate")
    for path, data in files.items():
        path.write_bytes(data)
        path.chmod(0o640)
        os.chown(path, 0, group)
    for unit, text in (("idgate", SLOW), ("idgate-gatekeeper", SLOW_KEEPER)):
        slow = root / f"etc/systemd/system/{unit}.service.d/emulated.conf"
        slow.parent.mkdir(parents=True, exist_ok=True)
        slow.write_text(text)
    view = root / VIEW
    view.parent.mkdir(parents=True, exist_ok=True)
    view.write_bytes(picture())


def picture(*payloads: str) -> bytes:
    """Return what the camera sees, a PNG: phones with these codes, or an empty hall."""
    import io

    import numpy as np
    from PIL import Image

    from hal.simulated.scene import Phone, Scene

    scene = Scene(width=WIDTH, height=HEIGHT, seed=1, noise=0)
    phones = [Phone(text).at_module_px(3.0, WIDTH) for text in payloads]
    out = io.BytesIO()
    Image.fromarray(np.asarray(scene.compose(phones))).save(out, "PNG")
    return out.getvalue()


def _group(root: Path, name: str) -> int:
    for line in (root / "etc/group").read_text("utf-8").splitlines():
        words = line.split(":")
        if words[0] == name:
            return int(words[2])
    raise KeyError(name)
