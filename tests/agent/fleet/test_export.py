"""What Prometheus is told of gates that are expected, retired, or spoken for by somebody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agent.fleet.export import METRICS, FleetMetrics
from agent.fleet.live import FleetView
from agent.fleet.store import EventStore, RejectedMessage
from agent.report.topics import GateAddress

HERE, GONE, NEVER, SILENT = (GateAddress("s", name) for name in ("here", "gone", "never", "silent"))
ONE, TWO, THREE = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def store(tmp_path) -> Iterator[EventStore]:
    expected = {HERE: frozenset({ONE}), NEVER: frozenset(), SILENT: frozenset(), GONE: frozenset()}
    store = EventStore(str(tmp_path / "fleet.sqlite"), expected)
    store.register.admit(HERE, ONE, 1.0)
    store.register.admit(GONE, TWO, 1.0)
    store.register.admit(SILENT, THREE, 1.0)
    store.register.settle()
    yield store
    store.close()


def page(store: EventStore) -> dict[str, str]:
    view = FleetView(expected=store.register.expected)
    for gate in (HERE, GONE):
        view.feed(gate.topic("status"), b"online" if gate == HERE else b"offline")
    registry = CollectorRegistry()
    registry.register(FleetMetrics(view, store, lambda: True))
    text = generate_latest(registry).decode()
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name.replace('site="s"', "").replace(",", ""): number for name, number in rows}


def test_a_gate_that_never_came_is_down_and_counted(store):
    rows = page(store)
    assert rows['idgate_up{gate="never"}'] == "0.0"
    assert rows['idgate_problem{gate="never"problem="absent"}'] == "1.0"
    assert rows['idgate_up{gate="here"}'] == "1.0"
    # What the collector knows came once, whatever the broker has kept of it.
    assert rows['idgate_up{gate="silent"}'] == "0.0"
    assert rows["idgate_gates_absent"] == "1.0"


def test_a_retired_gate_is_no_alarm(store):
    assert page(store)['idgate_up{gate="gone"}'] == "0.0"
    store.register.retire(GONE)
    rows = page(store)
    assert [name for name in rows if "gone" in name] == []
    assert rows["idgate_gates_absent"] == "1.0"
    store.register.retire(NEVER)
    assert page(store)["idgate_gates_absent"] == "0.0"


def test_who_speaks_in_a_gates_name_is_counted_by_the_gate(store):
    rows = page(store)
    assert rows['idgate_refused_total{gate="here"}'] == "0.0"
    assert rows['idgate_key_offered{gate="here"}'] == "0.0"
    store.reject([RejectedMessage("t", "other_key: x", 1.0, HERE, TWO)] * 3)
    rows = page(store)
    assert rows['idgate_refused_total{gate="here"}'] == "3.0"
    assert rows['idgate_key_offered{gate="here"}'] == "1.0"
    assert rows["idgate_collector_rejected"] == "3.0"


def test_every_metric_has_a_line_in_the_table(store):
    names = {name.partition("{")[0] for name in page(store)}
    assert names <= METRICS.keys()
