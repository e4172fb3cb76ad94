"""The peers' process and what is said of a peer that is not there."""

from __future__ import annotations

import sys

import pytest

from tests.bench import peers
from tests.bench.stages import Peer


@pytest.fixture
def venv(tmp_path):
    """An environment without peers: a link to this interpreter, and nothing of ours in reach."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys._base_executable)
    return tmp_path


def test_a_peer_that_is_not_installed_is_told_with_its_reason(venv, tmp_path) -> None:
    rows, absent = peers.measure(venv)
    assert rows == []
    assert [each.who for each in absent] == ["claim169", "face_recognition (dlib)"]
    assert all("No module named" in each.why for each in absent)
    _, absent = peers.measure(tmp_path / "none")
    assert all("--peers installs it" in each.why for each in absent)


def test_a_worker_answers_with_what_went_wrong(venv) -> None:
    with peers.worker(venv) as other:
        with pytest.raises(RuntimeError, match="claim169"):
            other.ask(do="claim169", code="", key="", algorithm="ES256")
        with pytest.raises(RuntimeError, match="KeyError"):
            other.ask(do="nothing")


def test_a_worker_that_ended_is_an_error(venv) -> None:
    with peers.worker(venv) as other:
        other._process.kill()
        other._process.wait()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            other.ask(do="again", repeats=1)


def test_both_sides_do_as_much() -> None:
    mine = []
    ours, theirs = peers.in_turns(lambda: mine.append(1), lambda: 0.004, 4)
    assert len(mine) == 1 + 4 * peers.ROUNDS
    assert theirs == pytest.approx(1.0)
    assert 0 <= ours < 1


def test_every_identity_is_read_by_us() -> None:
    """What the peer is given is good: the comparison is of work, not of refusals."""
    found = list(peers.identities())
    assert "Claim 169 of our own" in [each.name for each in found]
    assert all(peers.reader(each)().subject for each in found)


@pytest.mark.skipif(peers.missing("claim169") is not None, reason="no peer's environment here")
def test_the_claim169_package_is_measured() -> None:
    rows, absent = peers.claim169()
    assert absent == []
    assert {row.who.split()[0] for row in rows} == {"idgate", "claim169"}
    assert all(isinstance(row, Peer) and row.ms > 0 for row in rows)
