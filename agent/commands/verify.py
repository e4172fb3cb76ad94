"""`idgate verify`: what the gate would decide about a payload, without a gate.

Nothing is marked as used. Personal data is shown only with `--show-claims`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.commands import values
from agent.exits import Exit

if TYPE_CHECKING:
    from agent.policy.judge import Judgement, Place
    from agent.settings.model import Config
    from agent.trust.model import TrustView

__all__ = ["add_arguments", "run"]

_MOMENTS = frozenset({"valid_from", "valid_until"})
"""Printed as ISO 8601; in JSON they are Unix seconds, as everywhere."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", type=Path, metavar="FILE", help="a gate's settings")
    source.add_argument("--trust", type=Path, metavar="DIR", help="directory of issuer keys")
    parser.add_argument(
        "--site",
        metavar="PROFILE",
        help="site profile, a shipped name or a file; default: the settings', else library",
    )
    parser.add_argument(
        "--gate", metavar="SITE/GATE", type=_gate, default=("", ""),
        help="the gate that codes may be made out to; default: the settings', else none",
    )  # fmt: skip
    parser.add_argument(
        "--challenge", type=values.hexadecimal, metavar="HEX",
        help="the nonce that the gate shows; default: the settings' challenge_file",
    )  # fmt: skip
    parser.add_argument(
        "--at", type=values.moment, metavar="TIME",
        help="judge at this time, ISO 8601 or Unix seconds; default: now",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--show-claims", action="store_true", help="show what the credential says; personal data"
    )
    parser.add_argument("--image", type=Path, metavar="FILE", help="read the code in a picture")
    parser.add_argument("payload", nargs="?", help="the code's text, or - for one a line")


def _gate(text: str) -> tuple[str, str]:
    site, _, gate = text.partition("/")
    if not site or not gate:
        raise argparse.ArgumentTypeError(f"{text!r}: a gate is named SITE/GATE")
    return site, gate


def run(arguments: argparse.Namespace) -> int:
    """Judge; 0 granted, 1 denied or no code in the picture, 2 usage, 3 no decoder."""
    from agent.credential.keys import KeyFileError
    from agent.policy.profile import ProfileError
    from agent.settings.model import ConfigError
    from agent.trust.model import TrustError

    if (arguments.payload is None) == (arguments.image is None):
        return _usage("give one payload, - for standard input, or --image FILE")
    try:
        clock = _clock(arguments.at)
        place, trust = _place(arguments, int(clock()))
    except (ConfigError, ProfileError, TrustError, KeyFileError, ValueError, OSError) as error:
        return _usage(str(error))
    try:
        payloads = _payloads(arguments)
        granted = _judge_all(arguments, payloads, place, trust, clock)
    except _NoPayload as error:
        _usage(str(error))
        return error.code
    return 0 if granted else 1


class _NoPayload(Exception):
    """There is nothing to judge; with the exit code that `idgate scan` has for it."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


def _judge_all(
    arguments: argparse.Namespace,
    payloads: Iterator[bytes],
    place: Place,
    trust: TrustView,
    clock: Callable[[], float],
) -> bool:
    from agent.policy.judge import Judge, NoMemory

    judge = Judge(place, timer=time.perf_counter_ns, memory=NoMemory())
    granted = True
    for payload in payloads:
        judgement = judge.judge(
            payload, trust=trust, now=int(clock()), challenge=arguments.challenge
        )
        shown = _shown(judgement, claims=arguments.show_claims)
        granted = granted and shown["decision"] == "granted"
        text = json.dumps(shown, default=_plain) if arguments.json else _text(shown)
        print(text, flush=True)
    return granted


def _usage(message: str) -> int:
    print(f"idgate verify: {message}", file=sys.stderr)
    return 2


def _clock(at: int | None) -> Callable[[], float]:
    return time.time if at is None else lambda: at


def _place(arguments: argparse.Namespace, now: int) -> tuple[Place, TrustView]:
    """Put together where and by which trust the payload is judged."""
    from agent.daemon.challenge import read_challenge
    from agent.policy.judge import Place
    from agent.policy.load import load_profile, own_zone_for
    from agent.settings.load import load
    from agent.trust.directory import load_directory

    if arguments.config is not None:
        settings = load(arguments.config)
        if arguments.challenge is None and settings.gate.challenge_file:
            arguments.challenge = read_challenge(settings.path(settings.gate.challenge_file))
        return _configured(arguments, settings, now)
    if arguments.trust is None:
        raise ValueError("give --config FILE or --trust DIR: nothing is believed without keys")
    site, gate = arguments.gate
    profile = load_profile(arguments.site or "library", base_dir=Path())
    place = Place(site=site, gate=gate, profile=profile, own_zone=own_zone_for(profile))
    return place, load_directory(arguments.trust, now=now)


def _configured(
    arguments: argparse.Namespace, settings: Config, now: int
) -> tuple[Place, TrustView]:
    from dataclasses import replace

    from agent.daemon.place import place_of, read_trust
    from agent.policy.load import load_profile, own_zone_for

    trust = read_trust(settings, now=now)
    place = place_of(settings, trust)
    if arguments.site:
        profile = load_profile(arguments.site, base_dir=Path(settings.base_dir))
        place = replace(place, profile=profile, own_zone=own_zone_for(profile))
    site, gate = arguments.gate
    if gate:
        place = replace(place, site=site, gate=gate)
    return place, trust


def _payloads(arguments: argparse.Namespace) -> Iterator[bytes]:
    if arguments.image is not None:
        yield from _in_picture(arguments.image)
    elif arguments.payload == "-":
        yield from _lines(sys.stdin.buffer)
    else:
        yield arguments.payload.encode("utf-8", "surrogateescape")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines as they come; of one too long for any code, only so much that it shows."""
    from agent.credential.limits import DIGITS

    most = DIGITS + len("\r\n") + 1
    while line := stream.readline(most):
        rest = line
        while len(rest) == most and not rest.endswith(b"\n"):
            rest = stream.readline(most)
        yield line.rstrip(b"\r\n")


def _in_picture(path: Path) -> Iterator[bytes]:
    from agent.scan.picture import PictureError, load_luma
    from agent.scan.scanner import ScanError, Scanner
    from agent.settings.model import ScanConfig

    try:
        luma = load_luma(path)
    except PictureError as error:
        raise _NoPayload(str(error), Exit.SETTINGS) from None
    with Scanner(ScanConfig()) as scanner:
        try:
            scanner.wait_ready()
        except ScanError as error:
            raise _NoPayload(str(error), Exit.UNAVAILABLE) from None
        result = scanner.scan_still(luma, deadline_ms=5_000)
    if not result.payloads:
        raise _NoPayload(f"{path}: no QR code found", Exit.NO)
    for payload in result.payloads:
        yield payload.data


def _shown(judgement: Judgement, *, claims: bool) -> dict[str, Any]:
    credential = judgement.credential
    shown: dict[str, Any] = {
        "decision": "granted" if judgement.demand is not None else "denied",
        "reason": judgement.reason.value,
        "detail": judgement.detail or None,
        "format": judgement.format.value if judgement.format else None,
        "issuer": credential.issuer if credential else None,
        "kind": judgement.kind.value if judgement.kind else None,
        "level": int(credential.level) if credential else None,
        "valid_from": credential.valid_from if credential else None,
        "valid_until": credential.valid_until if credential else None,
        "biometric": judgement.demand.ask.value if judgement.demand else None,
        "timings_ms": {name: round(ms, 3) for name, ms in judgement.timings_ms.items()},
    }
    if claims and credential is not None:
        shown["subject"] = credential.subject
        shown["birth_date"] = credential.birth_date
        shown["undisclosed"] = credential.undisclosed or None
        shown["claims"] = dict(credential.claims)
    return shown


def _plain(value: object) -> object:
    """Show bytes inside claims by their length: pictures and templates are not for terminals."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return str(value)


def _text(shown: dict[str, Any]) -> str:
    from agent.clock.moment import moment_text

    facts = [
        f"{name} {moment_text(value) if name in _MOMENTS else value}"
        for name, value in shown.items()
        if name not in {"decision", "timings_ms"} and value is not None
    ]
    ms = sum(shown["timings_ms"].values())
    return f"{shown['decision']}: {', '.join(facts)} ({ms:.1f} ms)"
