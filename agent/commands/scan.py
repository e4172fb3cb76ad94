"""`idgate scan IMAGE...`: decode QR codes in picture files with the daemon's own decoders.

A picture is tried in more ways than a camera's frame (`agent.scan.still`; `--stream` tries what a
frame gets), until one finds something or the deadline is over, which is said in one line. A file
that is no picture gets one line on standard error, and the others are read all the same.
Exit codes: 0 every file held a code, 1 some held none (or time was over), 2 some could not be read
as a picture, 3 the decoder cannot be started.

With `--json` one object a line: `file`, `payloads` (each `text`, null where the bytes are not
UTF-8, `base64`, `corners` in pixels of the upright picture, `decoder`), `ms` in the decoders, and
`error` where there was one.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands import values
from agent.exits import Exit
from agent.settings.model import ScanConfig

if TYPE_CHECKING:
    from agent.scan.scanner import Payload, Scanner, ScanResult

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="picture files")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--stream",
        action="store_true",
        help="try only what a camera frame gets: no enlarging, one retry",
    )
    parser.add_argument(
        "--deadline-ms",
        type=values.count(20, 60_000),
        default=5_000,
        metavar="MS",
        help="longest time for one picture, 20 to 60000",
    )


def run(arguments: argparse.Namespace) -> int:
    """Decode each picture; return the exit code."""
    from agent.scan.scanner import ScanError, Scanner

    code = 0
    with Scanner(ScanConfig()) as scanner:
        try:
            scanner.wait_ready()
        except ScanError as error:
            print(f"idgate scan: {error}", file=sys.stderr)
            return Exit.UNAVAILABLE
        for path in arguments.images:
            code = max(code, _scan_one(scanner, path, arguments))
    return code


def _scan_one(scanner: Scanner, path: Path, arguments: argparse.Namespace) -> int:
    from agent.scan.picture import PictureError, load_reduced

    try:
        luma, scale = load_reduced(path)
    except PictureError as error:
        print(f"idgate scan: {error}", file=sys.stderr)
        _print_json(arguments, path, [], 0.0, str(error))
        return 2
    scan = scanner.scan_luma if arguments.stream else scanner.scan_still
    result = scan(luma, deadline_ms=arguments.deadline_ms)
    fault = None if result.payloads else _fault(result, arguments.deadline_ms)
    if fault is not None:
        print(f"idgate scan: {path}: {fault}", file=sys.stderr)
    payloads = [_as_json(payload, scale) for payload in result.payloads]
    _print_json(arguments, path, payloads, result.decode_ms, fault)
    if not arguments.json:
        for payload in payloads:
            print(f"{path}: {_shown(payload)}", flush=True)
        if not payloads and fault is None:
            print(f"{path}: no code", flush=True)
    return 0 if payloads else 1


def _fault(result: ScanResult, deadline_ms: int) -> str | None:
    """Return why a picture was not searched to the end; None where it was."""
    if result.unfinished:
        return f"no code within {deadline_ms} ms, and not everything was tried"
    return None if result.incident is None else f"the decoder failed: {result.incident}"


def _print_json(
    arguments: argparse.Namespace,
    path: Path,
    payloads: list[dict[str, Any]],
    spent_ms: float,
    error: str | None,
) -> None:
    if not arguments.json:
        return
    line: dict[str, Any] = {"file": str(path), "payloads": payloads, "ms": round(spent_ms, 3)}
    if error is not None:
        line["error"] = error
    print(json.dumps(line), flush=True)


def _as_json(payload: Payload, scale: float) -> dict[str, Any]:
    try:
        text: str | None = payload.data.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {
        "text": text,
        "base64": base64.b64encode(payload.data).decode("ascii"),
        "corners": [[round(x * scale), round(y * scale)] for x, y in payload.corners],
        "decoder": payload.decoder,
    }


def _shown(payload: dict[str, Any]) -> str:
    """Return the text, or base64 where it could steer a terminal."""
    text = payload["text"]
    if text is not None and text.isprintable():
        return str(text)
    return f"base64:{payload['base64']}"
