"""A power cut at any instant of an update leaves the old set or the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.trust_sets import GateCache, Publisher, new_public_pem

TRIALS = 200


@pytest.mark.chaos
def test_a_killed_update_leaves_a_whole_set(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "repo")
    publisher.add(issuers__one=new_public_pem(), issuers__two=new_public_pem())
    publisher.publish()
    gate = GateCache(tmp_path / "cache", publisher.first_root)
    gate.update(publisher.path)
    publisher.add(issuers__two=new_public_pem(), issuers__three=new_public_pem())
    publisher.publish()
    work = tmp_path / "work"
    work.mkdir()
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests/agent/trust/kill_points.py"),
            *(str(path) for path in (publisher.path, gate.path, work)),
            str(TRIALS),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    summary = json.loads(run.stdout)
    assert not summary["broken"]
    assert not summary["stuck"]
    assert summary["old"] + summary["new"] == TRIALS
    # The kills met both sides of the one step that counts, and each operation before it.
    assert summary["old"] > summary["points"] // 2
    assert summary["new"] > 0
