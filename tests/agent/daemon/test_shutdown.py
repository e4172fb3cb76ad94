"""Stopping: whatever one part does then, the pins are left safe and the journal is closed."""

from __future__ import annotations

import pytest

from agent.daemon.daemon import Daemon
from agent.daemon.hardware import open_hardware
from agent.journal import events
from agent.journal.journal import JournalFailed
from agent.settings.load import load
from tests.support.gate_on_disk import RELAY, GateOnDisk, until


@pytest.mark.parametrize("part", ["checks.close", "trust.stop", "controller.stop"])
def test_a_part_that_does_not_stop_leaves_no_relay_on(
    gate: GateOnDisk, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings))
    daemon.start()
    gate.show(gate.code())
    until(lambda: gate.board.level(RELAY), "open")
    name, _, method = part.partition(".")

    def broken() -> None:
        raise RuntimeError("does not stop")

    monkeypatch.setattr(getattr(daemon.parts, name), method, broken)
    with pytest.raises(RuntimeError, match="does not stop"):
        daemon.shutdown()
    assert not gate.board.level(RELAY)
    with pytest.raises(JournalFailed, match="closed"):
        daemon.parts.journal.append(events.Mode(mode="normal", cause="start"))
    monkeypatch.undo()
    getattr(getattr(daemon.parts, name), method)()
    daemon.shutdown()
