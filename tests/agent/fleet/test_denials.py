"""What Prometheus is told of denials: the gate's own counts, by reason code and nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.fleet.export import METRICS, FleetMetrics
from agent.fleet.live import FleetView
from agent.fleet.store import EventStore
from agent.reason import Reason
from agent.report.payloads import GateState, OutboxReport, StateReport, encode
from agent.report.topics import GateAddress


def test_denials_by_reason_are_the_gates_own(tmp_path: Path) -> None:
    view, store = FleetView(), EventStore(str(tmp_path / "fleet.sqlite"))
    gate = GateAddress("s", "g")
    reasons = {Reason.EXPIRED: 3, Reason.UNKNOWN_ISSUER: 40}
    state = StateReport(
        gate=GateState(mode="normal", reasons=reasons),
        outbox=OutboxReport(boot_id="0" * 32, last_seq=0, unacknowledged=0),
    )
    view.feed(gate.topic("state"), encode(state))
    view.feed(GateAddress("s", "quiet").topic("status"), b"online")
    found = {family.name: family for family in FleetMetrics(view, store, lambda: True).collect()}
    assert {f"{name}_total" if f"{name}_total" in METRICS else name for name in found} == set(
        METRICS
    )
    assert {
        tuple(sample.labels.values()): sample.value for sample in found["idgate_denials"].samples
    } == {("s", "g", "expired"): 3.0, ("s", "g", "unknown_issuer"): 40.0}
    store.close()


def test_a_reason_that_is_none_is_no_label() -> None:
    view, gate = FleetView(), GateAddress("s", "g")
    state = {
        "gate": {"mode": "normal", "reasons": {"Lin Wei": 1}},
        "outbox": {"boot_id": "0" * 32, "last_seq": 0, "unacknowledged": 0},
    }
    view.feed(gate.topic("state"), msgspec.json.encode(state))
    assert view.refused == 1
    assert view.gates[gate].state is None
