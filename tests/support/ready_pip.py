"""A Python of the system's whose venvs get a pip that is there already.

Python's own way (`ensurepip`) unpacks and compiles pip for six seconds of a processor. Where a venv is only
what a test goes through, this one serves; tests/packaging/test_install.py goes the whole way, in a tree.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

_SCRIPT = """#!/bin/sh
set -eu
if [ "${{1-}} ${{2-}} ${{3-}}" != "-I -m venv" ]; then exec {python} "$@"; fi
{python} "$@" --without-pip
for folder; do :; done # the last word
cp -a {pip} {info} "$folder"/lib/python3*/site-packages/
"""


def python_with_ready_pip(folder: Path, python: str = "/usr/bin/python3") -> Path:
    """Return a program that is `python`, but for how it makes a venv."""
    pip = importlib.metadata.distribution("pip")
    package = Path(str(pip.locate_file("pip")))
    (info,) = package.parent.glob("pip-*.dist-info")
    script = folder / "python-with-ready-pip"
    script.write_text(_SCRIPT.format(python=python, pip=package, info=info))
    script.chmod(0o755)
    return script


__all__ = ["python_with_ready_pip"]
