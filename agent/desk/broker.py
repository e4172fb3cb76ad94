"""The broker's certificates and settings, made by the desk: one authority for servers and clients.

    broker/ca.pem, ca.key.pem             the authority
    broker/server.pem, server.key.pem     the broker's own
    broker/NAME.pem, NAME.key.pem         of `desk`, `collector`, `monitor`, `control-room`
    broker/mosquitto.conf, acl            for Mosquitto 2

Rules:
- a client is known by its certificate's common name, and the ACL says what that name may do
  (docs/fleet/acl is the same list, with a section for operators besides);
- a gate makes its key itself and sends a request; no key of a gate is ever here;
- a gate's name is no name of these clients.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from agent.desk.authority import CLIENT, SERVER, Authority, new_key, private_pem, write_private

__all__ = ["CLIENTS", "FOLDER", "SERVER_NAME", "broker_authority", "lay_out", "make_broker"]

FOLDER: Final = "broker"
SERVER_NAME: Final = "server"
CLIENTS: Final = ("desk", "collector", "monitor", "control-room")
_DAYS: Final = 825

_CONF: Final = """\
# Mosquitto 2 for the gates of this desk: certificates only, every gate on its own topics.
listener {port}
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key.pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
max_inflight_messages 500
max_queued_messages 100000
max_packet_size 65536
max_keepalive 3600
"""

_ACL: Final = """\
# %u is the common name of the client's certificate; a gate's bears the gate's name.
pattern write gates/v1/+/%u/status
pattern write gates/v1/+/%u/info
pattern write gates/v1/+/%u/state
pattern write gates/v1/+/%u/metrics
pattern write gates/v1/+/%u/event/+
pattern write gates/v1/+/%u/rsp/+
pattern write gates/v1/+/%u/config/reported
pattern read gates/v1/+/%u/ack
pattern read gates/v1/+/%u/cmd/+
pattern read gates/v1/+/%u/config/desired
pattern read gates/v1/+/%u/ha/+
pattern read homeassistant/status

# The desk says that there is something new, and hears that it was taken.
user desk
topic write gates/v1/+/+/cmd/update
topic read gates/v1/+/+/rsp/update

user collector
topic read gates/v1/+/+/event/+
topic write gates/v1/+/+/ack
topic write gates/v1/+/+/cmd/replay

user monitor
topic read gates/v1/#

# What a gate believes is decided by the signature.
user control-room
topic write gates/v1/+/+/cmd/+
topic write gates/v1/+/+/config/desired
topic read gates/v1/#
"""


def make_broker(folder: Path, host: str, port: int, *, site: str, now: int) -> None:
    """Make everything that a broker for this desk's gates needs.

    Args:
        folder: a new directory; later named to Mosquitto as it stands.
        host: name or IP address under which clients reach the broker.
        port: where it listens.
        site: for the authority's name.
        now: Unix seconds.

    Raises:
        OSError: something is there already, or cannot be written.
    """
    folder.mkdir(mode=0o700)
    authority = Authority.make(f"{site} idgate broker", now=now, purposes=[SERVER, CLIENT])
    authority.write(folder / "ca.pem", folder / "ca.key.pem")
    for name in (SERVER_NAME, *CLIENTS):
        key = new_key()
        write_private(folder / f"{name}.key.pem", private_pem(key))
        made = (
            authority.server(key.public_key(), [host], now=now, days=_DAYS)
            if name == SERVER_NAME
            else authority.client(key.public_key(), name, now=now, days=_DAYS)
        )
        (folder / f"{name}.pem").write_bytes(made)
    (folder / "mosquitto.conf").write_text(_CONF.format(port=port, folder=folder.resolve()))
    (folder / "acl").write_text(_ACL)
    (folder / "acl").chmod(0o600)  # Mosquitto warns of one that others may read


def lay_out(folder: Path, to: Path) -> None:
    """Copy what Mosquitto needs, and no more, to where its own user may read it.

    Args:
        folder: the desk's `broker`.
        to: made where it is not there; the settings name it.

    Raises:
        OSError: something cannot be read or written.
    """
    to.mkdir(parents=True, exist_ok=True, mode=0o755)
    old, new = (str(each.resolve()) for each in (folder, to))
    owner = _mosquitto()
    for name in ("ca.pem", "server.pem", "server.key.pem", "acl", "mosquitto.conf"):
        content = (folder / name).read_bytes()
        if name == "mosquitto.conf":
            content = content.replace(old.encode(), new.encode())
        (to / name).unlink(missing_ok=True)
        write_private(to / name, content)
        if owner is not None:
            os.chown(to / name, *owner)


def _mosquitto() -> tuple[int, int] | None:
    """Return the numbers of Mosquitto's user, None where there is none or nothing may be given."""
    try:
        found = pwd.getpwnam("mosquitto")
    except KeyError:
        return None
    return (found.pw_uid, found.pw_gid) if os.geteuid() == 0 else None


def broker_authority(folder: Path) -> Authority | None:
    """Return the authority that certifies gates to the broker; None where another does.

    Args:
        folder: the desk's own.

    Raises:
        OSError, ValueError: it is there, and cannot be used.
    """
    certificate = folder / FOLDER / "ca.pem"
    if not certificate.exists():
        return None
    return Authority.read(certificate, folder / FOLDER / "ca.key.pem")
