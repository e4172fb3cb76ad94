"""Runs the wallet's modules in Node, with what Python made and for what Python reads."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

__all__ = ["needs_node", "run_node"]

_TESTS = ROOT / "tests" / "agent" / "wallet"
_OLDEST = 20
"""The first whose global `crypto` and `node --test` are a browser's."""


def _version() -> int:
    program = shutil.which("node")
    if program is None:
        return 0
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"v([0-9]+)", told.stdout)
    return int(found[1]) if found else 0


needs_node = pytest.mark.skipif(_version() < _OLDEST, reason=f"no Node of {_OLDEST} or later")


def run_node(name: str, given: Any, folder: Path) -> Any:
    """Run a file of `node --test`.

    Args:
        name: the file, in `tests/agent/wallet`.
        given: becomes the JSON that `GIVEN` names.
        folder: where to write.

    Returns:
        The JSON that the file wrote where `MADE` names, or None; a test that failed there fails here
        with its words.
    """
    take, made = folder / "given.json", folder / "made.json"
    take.write_text(json.dumps(given))
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", str(_TESTS / name)],
        env={**os.environ, "GIVEN": str(take), "MADE": str(made), "NODE_OPTIONS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass ([0-9]+)$", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) > 0, done.stdout
    return json.loads(made.read_text()) if made.exists() else None
