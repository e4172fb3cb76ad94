"""`idgate join`: let this gate join a desk."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from agent.exits import Exit

__all__ = ["add_arguments", "run"]

_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_DEADLINE_MS: Final = 5_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "link",
        metavar="LINK|FILE",
        help="the desk's link, its file, or a picture of its QR; - reads the link from here",
    )
    parser.add_argument(
        "--config-dir",
        type=Path,
        default=Path("/etc/idgate"),
        metavar="DIR",
        help="where the gate's settings are",
    )
    parser.add_argument(
        "--replace", action="store_true", help="join anew: another desk, place or name than before"
    )
    parser.add_argument(
        "--no-update", action="store_true", help="leave fetching the trust set to the daemon"
    )


def run(arguments: argparse.Namespace) -> int:
    """Join; 0 done, 1 the desk refuses or is not reached, 2 what cannot be used here."""
    from agent.fleet.join import JoinError, hand_over, join, read_link

    folder: Path = arguments.config_dir
    try:
        link = read_link(_text(arguments.link))
    except (JoinError, OSError) as error:
        return _say(error, Exit.SETTINGS)
    try:
        joined = join(link, folder, replace=arguments.replace)
    except JoinError as error:
        return _say(error, Exit.NO)
    except OSError as error:
        return _say(error, Exit.SETTINGS)
    print(f"joined {joined.place or joined.site}: this is gate {joined.site}/{joined.gate}")
    for file in joined.files:
        print(f"wrote {file}")
    code = Exit.DONE
    if not arguments.no_update:
        code = _update(joined.cache, joined.source, joined.ca)
    hand_over(joined.cache)
    print(f"next: sudo idgate doctor --config {folder / 'config.toml'}")
    return code


def _update(cache: Path, source: str, ca: Path | None) -> Exit:
    """Fetch the trust set for the first time."""
    from agent.trust.model import TrustError
    from agent.trust.update import update

    try:
        result = update(cache, source, now=int(time.time()), ca=ca)
    except TrustError as error:
        return _say(error, Exit.NO)
    print(f"trust set version {result.snapshot.version}, {len(result.snapshot.keys)} keys")
    return Exit.DONE


def _text(word: str) -> str:
    """Return the link: the word itself, what is in a file, or what a picture shows."""
    if word == "-":
        return sys.stdin.readline()
    if "://" in word or word.startswith("{"):
        return word
    path = Path(word)
    if path.suffix.lower() not in _PICTURES:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 17)
    return _seen(path)


def _seen(path: Path) -> str:
    """Return the link that a picture shows, by the gate's own decoder."""
    from agent.fleet.join import JoinError
    from agent.scan.picture import PictureError, load_reduced
    from agent.scan.scanner import ScanError, Scanner
    from agent.settings.model import ScanConfig

    with Scanner(ScanConfig()) as scanner:
        try:
            scanner.wait_ready()
            luma, _ = load_reduced(path)
        except (PictureError, ScanError) as error:
            raise JoinError(str(error)) from None
        result = scanner.scan_still(luma, deadline_ms=_DEADLINE_MS)
    for payload in result.payloads:
        text = payload.data.decode("utf-8", "replace")
        if "/join/" in text:
            return text
    raise JoinError(f"{path}: no desk's QR is seen there")


def _say(error: Exception, code: Exit) -> Exit:
    where = getattr(error, "filename", None)
    text = f"{where}: {getattr(error, 'strerror', error)}" if where else str(error)
    print(f"idgate join: {text}", file=sys.stderr)
    return code
