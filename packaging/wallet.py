# ruff: noqa: INP001 - a script, not a module
"""The list of the wallet's files in its service worker, with the version that they make up.

    python packaging/wallet.py            write it into agent/wallet/sw.js
    python packaging/wallet.py --check    exit 1 where what stands there is another

Run it after a change of any file of the wallet: phones keep the files of one version, and look for
another one by this list alone. A test says so where it was forgotten.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

WALLET = Path(__file__).resolve().parents[1] / "agent/wallet"
WORKER = WALLET / "sw.js"
BEGIN, END = "// precache: begin\n", "// precache: end\n"
SUFFIXES = {".css", ".js", ".png", ".svg", ".webmanifest"}
INDEX = "index.html"


def files(wallet: Path = WALLET) -> list[str]:
    """Return what the page is made of, but for `index.html`, which is kept as `./`."""
    found = (
        path.relative_to(wallet).as_posix()
        for path in wallet.rglob("*")
        if path.suffix in SUFFIXES and path != wallet / WORKER.name
    )
    return sorted(name for name in found if name != "issuers.json")


def written(wallet: Path = WALLET) -> str:
    """Return `sw.js` as it should be."""
    names = files(wallet)
    digest = hashlib.sha256()
    before, rest = (wallet / WORKER.name).read_text().split(BEGIN)
    after = rest.split(END)[1]
    digest.update((before + after).encode())
    for name in [INDEX, *names]:
        data = (wallet / name).read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    lines = "".join(f"  {json.dumps(name)},\n" for name in names)
    version = digest.hexdigest()[:16]
    return f'{before}{BEGIN}const VERSION = "{version}";\nconst FILES = [\n{lines}];\n{END}{after}'


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    wanted = written()
    if not parser.parse_args().check:
        WORKER.write_text(wanted)
        return 0
    if wanted == WORKER.read_text():
        return 0
    print("agent/wallet/sw.js: run python packaging/wallet.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
