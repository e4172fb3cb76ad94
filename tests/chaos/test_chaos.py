"""The short form of the chaos run; `./setup.sh chaos` is the long one."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest


def load_chaos():
    spec = importlib.util.spec_from_file_location(
        "idgate_chaos", Path(__file__).with_name("chaos.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


chaos = load_chaos()


@pytest.mark.chaos
@pytest.mark.broker
@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="Mosquitto is not installed")
def test_every_decision_arrives_exactly_once(tmp_path):
    plan = chaos.Plan(
        events=240, gates=2, broker_kills=1, collector_kills=1, gate_kills=2, rate=40.0, seed=7,
        timeout_s=120,
    )  # fmt: skip
    report = chaos.Chaos(plan, tmp_path).run()
    assert report.wrong == []
    assert report.stored == report.expected == 240
    assert report.kills["broker"] == report.kills["collector"] == 1
    assert report.kills["gate"] >= 1


def test_the_verdict_sees_a_loss_a_double_and_a_gap(tmp_path):
    """The judge itself is judged: a collector that lost, doubled or skipped must not pass."""
    plan = chaos.Plan(events=4, gates=1, broker_kills=0, collector_kills=0, gate_kills=0)
    run = chaos.Chaos(plan, tmp_path)

    def event(seq, number):
        return chaos_event("gate-00", "aa" * 16, seq, chaos.passage_id("gate-00", number))

    store = chaos.EventStore(run.database)
    store.add([event(1, 1), event(2, 2), event(3, 2), event(5, 9)])
    store.close()
    run.judge()
    text = "\n".join(run.report.wrong)
    assert f"decision {chaos.passage_id('gate-00', 3)} lost" in text
    assert "unknown" in text
    assert "2 times" in text
    assert "gap in seq" in text
    assert "journal {} and collector" in text


def chaos_event(gate, boot_id, seq, passage):
    from agent.fleet.store import BootKey, StoredEvent
    from agent.report.topics import GateAddress

    return StoredEvent(
        BootKey(GateAddress(chaos.SITE, gate), boot_id), seq, "decision", "2027-01-01T00:00:00Z",
        0.0, f'{{"passage":"{passage}"}}',
    )  # fmt: skip
