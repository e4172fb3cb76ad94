# ruff: noqa: INP001 - a script, not a module
"""What the wallet says of its own files: which a phone keeps, as which version, and fetches first.

    python packaging/wallet.py            write it into agent/wallet/{sw.js,index.html}
    python packaging/wallet.py --check    exit 1 where what stands there is another

Run it after a change of any file of the wallet: phones keep the files of one version, and look for
another one by the list in `sw.js` alone. In `index.html` the modules that the page begins with are
named, so that they are fetched at once and not one import after another. A test says where that was
forgotten.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

WALLET = Path(__file__).resolve().parents[1] / "agent/wallet"
WORKER = WALLET / "sw.js"
BEGIN, END = "// precache: begin\n", "// precache: end\n"
PRELOAD, PRELOADED = "<!-- preload: begin -->\n", "<!-- preload: end -->\n"
IMPORT = re.compile(r'^(?:import|export)\b[^;]*?\bfrom "(\.[^"]+)";', re.MULTILINE)
SUFFIXES = {".css", ".js", ".svg", ".webmanifest"}
"""Pictures for the home screen are the browser's own business, once, when it installs the page."""
INDEX = "index.html"


def files(wallet: Path = WALLET) -> list[str]:
    """Return what the page is made of, but for `index.html`, which is kept as `./`."""
    found = (
        path.relative_to(wallet).as_posix()
        for path in wallet.rglob("*")
        if path.suffix in SUFFIXES and path != wallet / WORKER.name
    )
    return sorted(name for name in found if name != "issuers.json")


def modules(wallet: Path = WALLET) -> list[str]:
    """Return the modules that the page begins with, in the order in which they are come upon."""
    found = ["app.js"]
    for name in found:
        file = wallet / name
        for target in IMPORT.findall(file.read_text()):
            path = (file.parent / target).resolve().relative_to(wallet.resolve()).as_posix()
            if path not in found:
                found.append(path)
    return found


def page(wallet: Path = WALLET) -> str:
    """Return `index.html` as it should be."""
    before, rest = (wallet / INDEX).read_text().split(PRELOAD)
    after = rest.split(PRELOADED)[1]
    lines = "".join(f'<link rel="modulepreload" href="{name}">\n' for name in modules(wallet))
    return f"{before}{PRELOAD}{lines}{PRELOADED}{after}"


def written(wallet: Path = WALLET) -> str:
    """Return `sw.js` as it should be, beside the `index.html` that is there."""
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
    if not parser.parse_args().check:
        (WALLET / INDEX).write_text(page())
        WORKER.write_text(written())
        return 0
    if page() == (WALLET / INDEX).read_text() and written() == WORKER.read_text():
        return 0
    sys.stderr.write("agent/wallet: run python packaging/wallet.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
