"""The daemon's trust store: whole snapshots, the old one kept on a fault, one thread for all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.daemon.threads import ThreadGroup
from agent.settings.load import parse
from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot
from agent.trust.store import TrustStore
from agent.trust.update import pin_root
from tests.support.trust_keys import NOW
from tests.support.trust_sets import Publisher, new_public_pem

WAIT_S = 20


class Gate:
    """Settings in a directory, and a clock that the test sets."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.now = float(NOW)
        self.changes: list[TrustSnapshot] = []
        self.changed = threading.Event()

    def store(self, **trust: str | bool | float) -> TrustStore:
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in trust.items())
        config = parse(
            f'[gate]\nsite = "s"\ngate = "g"\n[trust]\n{lines}', source="test", base_dir=self.base
        )
        return TrustStore(config, clock=lambda: self.now, on_change=self._on_change)

    def _on_change(self, snapshot: TrustSnapshot) -> None:
        self.changes.append(snapshot)
        self.changed.set()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "one.pem").write_bytes(new_public_pem())
    return Gate(tmp_path)


def names(store: TrustStore) -> list[str]:
    return sorted(key.issuer for key in store.snapshot.keys)


def test_a_reload_brings_what_is_new_and_keeps_the_old_on_a_fault(gate: Gate) -> None:
    store = gate.store()
    first = store.snapshot
    assert names(store) == ["one"]
    (gate.base / "trust" / "two.pem").write_bytes(new_public_pem())
    gate.now += 50
    store.reload()
    assert names(store) == ["one", "two"]
    assert [key.issuer for key in first.keys] == ["one"]  # a passage under way keeps its own
    assert store.age().updated_at == NOW + 50
    (gate.base / "trust").rename(gate.base / "away")
    gate.now += 50
    with pytest.raises(TrustError, match="not a directory"):
        store.reload()
    assert names(store) == ["one", "two"]
    assert "not a directory" in store.error
    age = store.age()
    assert (age.version, age.age_s, age.expires_in_s) == (0, 50, None)
    assert "not a directory" in age.error
    (gate.base / "away").rename(gate.base / "trust")
    (gate.base / "trust" / "two.pem").unlink()
    store.reload()
    assert (names(store), store.error, store.age().age_s) == (["one"], "", 0)


def test_a_clock_that_went_back_does_not_hide_a_reload(gate: Gate) -> None:
    store = gate.store()
    gate.now -= 1_000
    (gate.base / "trust" / "two.pem").write_bytes(new_public_pem())
    store.reload()
    assert names(store) == ["one", "two"]


def test_no_trust_at_the_start_is_an_error(gate: Gate) -> None:
    with pytest.raises(TrustError, match="not a directory"):
        gate.store(directory="nowhere")
    with pytest.raises(TrustError, match="no trust set yet"):
        gate.store(signed=True)


def test_a_signed_store_fetches_its_first_set_and_follows(gate: Gate, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "repo")
    publisher.add(issuers__one=new_public_pem())
    publisher.publish()
    pin_root(tmp_path / "cache", publisher.first_root)
    gate.now = publisher.repository._now
    store = gate.store(directory="cache", signed=True, url="repo")
    assert (names(store), store.snapshot.version) == (["one"], 1)
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    store.reload()  # reads the cache, asks nobody
    assert names(store) == ["one"]
    store.update()
    assert (names(store), store.snapshot.version) == (["one", "two"], 2)
    age = store.age()
    assert age.expires_in_s is not None
    assert abs(age.expires_in_s - 30 * 86_400) < 600
    (tmp_path / "repo" / "metadata" / "timestamp.json").write_bytes(b"{}")
    with pytest.raises(TrustError, match="update refused"):
        store.update()
    assert names(store) == ["one", "two"]
    # A second start needs no source at all.
    assert gate.store(directory="cache", signed=True, url="gone").snapshot.version == 2


def test_a_snapshot_read_before_an_update_does_not_undo_it(gate: Gate, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "repo")
    publisher.add(issuers__one=new_public_pem())
    publisher.publish()
    pin_root(tmp_path / "cache", publisher.first_root)
    gate.now = int(time.time())
    store = gate.store(directory="cache", signed=True, url="repo")
    old = store.snapshot
    publisher.publish()
    store.update()
    store._attempt(lambda: old)
    assert store.snapshot.version == 2


def run_in(threads: ThreadGroup, store: TrustStore, check: Callable[[], None]) -> None:
    store.start(threads)
    try:
        check()
    finally:
        store.stop()
        assert threads.join(WAIT_S) == []
    assert not threads.lost.is_set()


def test_a_nudge_updates_at_once_in_the_stores_thread(gate: Gate) -> None:
    store = gate.store(refresh_s=86_400)
    (gate.base / "trust" / "two.pem").write_bytes(new_public_pem())

    def check() -> None:
        store.nudge()
        assert gate.changed.wait(WAIT_S)
        assert names(store) == ["one", "two"]

    run_in(ThreadGroup(), store, check)


def test_a_fault_in_the_thread_is_reported_and_survived(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    store = gate.store(refresh_s=86_400)
    (gate.base / "trust").rename(gate.base / "away")
    seen = threading.Event()
    attempt = store._attempt

    def watched(step: Callable[[], TrustSnapshot]) -> None:
        try:
            attempt(step)
        finally:
            seen.set()

    store._attempt = watched  # type: ignore[method-assign]

    def check() -> None:
        store.nudge()
        assert seen.wait(WAIT_S)
        (gate.base / "away").rename(gate.base / "trust")
        gate.changed.clear()
        store.nudge()
        assert gate.changed.wait(WAIT_S)
        assert store.error == ""

    run_in(ThreadGroup(), store, check)
    assert "trust stays at version 0" in caplog.text


def test_what_is_set_aside_is_logged_when_it_changes(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    store = gate.store()
    assert not caplog.text
    bad = gate.base / "trust" / "two.pem"
    for data, told in ((b"broken", 1), (b"broken", 1), (b"\x30", 2)):
        bad.write_bytes(data)
        store.reload()
        assert names(store) == ["one"]
        assert store.error == ""
        assert caplog.text.count("set aside in the trust: two.pem: ") == told
    bad.unlink()
    store.reload()
    assert store.snapshot.set_aside == ()


def test_the_schedule_needs_no_nudge(gate: Gate) -> None:
    store = gate.store(refresh_s=10)
    store._refresh_s = 0.01
    run_in(
        ThreadGroup(),
        store,
        lambda: bool(gate.changed.wait(WAIT_S)) or pytest.fail("never updated"),
    )
