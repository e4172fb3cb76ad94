"""How the fleet's commands connect: the same options everywhere, the gate's own link below."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

from agent.report.link import LinkSettings
from agent.settings.broker_url import parse_url
from agent.settings.secrets import optional_secret_path

__all__ = ["add_broker_arguments", "settings_from"]


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a broker."""
    group = parser.add_argument_group("broker")
    group.add_argument(
        "--broker", default="mqtt://localhost:1883", metavar="URL", help="mqtt:// or mqtts://"
    )
    group.add_argument("--mqtt", choices=("5", "3.1.1"), default="5", help="protocol version")
    group.add_argument("--client-id", default="", metavar="ID", help="default: from role and host")
    group.add_argument("--username", default="", metavar="NAME", help="default: none")
    group.add_argument("--password-file", default="", metavar="FILE", help="default: no password")
    group.add_argument(
        "--ca", default="", metavar="FILE", help="private CA (PEM); default: the system's"
    )
    group.add_argument(
        "--cert", default="", metavar="FILE", help="client certificate (PEM); default: none"
    )
    group.add_argument("--cert-key", default="", metavar="FILE", help="its key (PEM)")


def settings_from(
    arguments: argparse.Namespace,
    role: str,
    *,
    stable: bool = False,
    manual_ack: bool = False,
) -> LinkSettings:
    """Return the link that the options describe.

    Args:
        arguments: parsed options.
        role: part of the client id, which no gate has (`GateAddress.client_id`).
        stable: True for a session that the broker keeps: the id is then the same at each start.
        manual_ack: confirm messages by hand.

    Raises:
        ValueError: the URL is none.
        OSError: a file that is named cannot be read.
    """
    host, port, tls = parse_url(arguments.broker)
    suffix = socket.gethostname() if stable else f"{socket.gethostname()}-{os.getpid()}"
    password, ca, cert, key = (
        _readable(name)
        for name in (arguments.password_file, arguments.ca, arguments.cert, arguments.cert_key)
    )
    return LinkSettings(
        host=host,
        port=port,
        tls=tls,
        client_id=arguments.client_id or f"idgate--{role}-{suffix}",
        version5=arguments.mqtt == "5",
        username=arguments.username,
        password_file=password,
        ca_file=ca,
        cert_file=cert,
        key_file=key,
        session_expiry_s=86_400 * 7 if stable else 0,
        manual_ack=manual_ack,
    )


def _readable(name: str) -> Path | None:
    """Return the path of a secret's file; the link would tell only that it does not connect."""
    path = optional_secret_path(name, Path.cwd())
    if path is not None:
        path.open("rb").close()
    return path
