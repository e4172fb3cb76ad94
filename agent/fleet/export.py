"""Hands the fleet's data on: a Prometheus endpoint, CSV, Parquet.

Rules:
- Metric names are in `METRICS`, one place; dashboard and alert rules in docs/fleet/ are held
  against it by a test.
- Labels are site and gate, and closed words; never a subject.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.fleet.live import FleetView, GateView, Viewer
from agent.fleet.register import KnownGate
from agent.fleet.store import EventStore
from agent.reason import Reason
from agent.report.link import LinkSettings
from agent.report.topics import GateAddress

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["COLUMNS", "METRICS", "FleetMetrics", "serve", "write_csv", "write_parquet"]

COLUMNS = (
    "site", "gate", "boot_id", "seq", "type", "time", "received_at", "data", "prevhash", "key",
    "sig",
)  # fmt: skip

METRICS: dict[str, str] = {
    "idgate_up": "1 when the gate says online",
    "idgate_info": "1, with the gate's version and profile as labels",
    "idgate_decisions_total": "decisions seen since the exporter started",
    "idgate_denials_total": "denials since the gate started, by reason code, as the gate counts",
    "idgate_outbox_rows": "events that wait for the collector",
    "idgate_trust_age_seconds": "age of the trust data",
    "idgate_decision_latency_ms": "milliseconds of the last decisions, as the gate reports",
    "idgate_mode": "1 for the mode the gate is in",
    "idgate_problem": "1 for each problem there is now",
    "idgate_clock_trusted": "1 when the gate trusts its clock",
    "idgate_days_left": "days until the first of a kind ends: certificates, issuers, the trust set",
    "idgate_collector_events": "events stored",
    "idgate_collector_gap_boots": "boots with a gap",
    "idgate_collector_rejected": "messages that were no events",
    "idgate_gates_absent": "expected gates of which nothing ever came",
    "idgate_refused_total": "messages in the gate's name that the collector did not believe",
    "idgate_key_offered": "1 where another key wants to speak for the gate",
    "idgate_broker_connected": "1 when the exporter is connected to the broker",
}


class FleetMetrics:
    """A Prometheus collector over the live view and the database."""

    def __init__(self, view: FleetView, store: EventStore, connected: Callable[[], bool]) -> None:
        self._view = view
        self._store = store
        self._connected = connected

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; called at each scrape."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        def gauge(name: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, METRICS[name], labels=labels)

        families = {
            "up": gauge("idgate_up", "site", "gate"),
            "info": gauge("idgate_info", "site", "gate", "version", "profile"),
            "outbox": gauge("idgate_outbox_rows", "site", "gate"),
            "trust": gauge("idgate_trust_age_seconds", "site", "gate"),
            "latency": gauge("idgate_decision_latency_ms", "site", "gate"),
            "mode": gauge("idgate_mode", "site", "gate", "mode"),
            "problem": gauge("idgate_problem", "site", "gate", "problem"),
            "clock": gauge("idgate_clock_trusted", "site", "gate"),
            "days": gauge("idgate_days_left", "site", "gate", "kind"),
        }
        decisions = CounterMetricFamily(
            "idgate_decisions_total",
            METRICS["idgate_decisions_total"],
            labels=("site", "gate", "decision"),
        )
        register = self._store.register.gates()
        retired = {each.address for each in register.values() if each.retired_at is not None}
        absent = 0
        denials = CounterMetricFamily(
            "idgate_denials_total",
            METRICS["idgate_denials_total"],
            labels=("site", "gate", "reason"),
        )
        for gate in list(self._view.gates.values()):
            if gate.address in retired:
                continue
            absent += gate.status == "absent" and gate.address not in register
            _fill(gate, families)
            for reason, count in _denials(gate).items():
                denials.add_metric([gate.address.site, gate.address.gate, reason.value], count)
            for word, count in gate.decisions.items():
                decisions.add_metric([gate.address.site, gate.address.gate, word], count)
        yield from families.values()
        yield decisions
        yield from _refusals(register)
        yield denials
        for name, value in (
            ("idgate_collector_events", self._store.count()),
            ("idgate_collector_gap_boots", self._store.gap_boots()),
            ("idgate_collector_rejected", self._store.rejections()),
            ("idgate_gates_absent", absent),
            ("idgate_broker_connected", int(self._connected())),
        ):
            family = gauge(name)
            family.add_metric([], value)
            yield family


def _refusals(register: Mapping[GateAddress, KnownGate]) -> Iterator[Metric]:
    """Yield what the collector refused in the names of gates that serve."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = ("idgate_refused_total", "idgate_key_offered")
    refused = CounterMetricFamily(names[0], METRICS[names[0]], labels=("site", "gate"))
    offered = GaugeMetricFamily(names[1], METRICS[names[1]], labels=("site", "gate"))
    for gate in register.values():
        if gate.retired_at is None:
            labels = [gate.address.site, gate.address.gate]
            refused.add_metric(labels, gate.refused)
            offered.add_metric(labels, int(bool(gate.offered)))
    yield refused
    yield offered


def _denials(gate: GateView) -> dict[Reason, int]:
    """Return the gate's own counts, which no exporter that starts later has missed."""
    return {} if gate.state is None else gate.state.gate.reasons


def _fill(gate: GateView, families: dict[str, Any]) -> None:
    labels = [gate.address.site, gate.address.gate]
    families["up"].add_metric(labels, int(gate.status == "online"))
    if gate.info is not None:
        families["info"].add_metric([*labels, gate.info.version, gate.info.profile], 1)
    for problem in gate.problems():
        families["problem"].add_metric([*labels, problem], 1)
    if gate.state is None:
        return
    state = gate.state.gate
    families["outbox"].add_metric(labels, gate.state.outbox.unacknowledged)
    families["mode"].add_metric([*labels, state.mode], 1)
    families["clock"].add_metric(labels, int(state.clock_trusted))
    for kind, days in state.days_left.items():
        families["days"].add_metric([*labels, kind], days)
    if state.trust_age_s is not None:
        families["trust"].add_metric(labels, state.trust_age_s)
    if state.latency_ms is not None:
        families["latency"].add_metric(labels, state.latency_ms)


def serve(
    store: EventStore,
    settings: LinkSettings,
    *,
    host: str,
    port: int,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> None:
    """Serve metrics until told to stop.

    Raises:
        OSError: the port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    view = FleetView(expected=store.register.expected)
    viewer = Viewer(settings, view)
    registry = CollectorRegistry()
    registry.register(FleetMetrics(view, store, lambda: viewer.connected))
    server, thread = start_http_server(port, addr=host, registry=registry)
    tell(f"http://{host}:{server.server_port}/metrics")
    try:
        while not stop():
            viewer.step(0.2)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        viewer.close()


def write_csv(store: EventStore, target: str) -> None:
    """Write every event as CSV to a file, or to stdout for `-`."""
    if target == "-":
        _write_rows(csv.writer(sys.stdout), store)
        return
    with Path(target).open("w", encoding="utf-8", newline="") as file:
        _write_rows(csv.writer(file), store)


def _write_rows(writer: Any, store: EventStore) -> None:
    writer.writerow(COLUMNS)
    for row in map(_flat, store.read()):
        writer.writerow([row[name] for name in COLUMNS])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its seal in hexadecimal; empty where it was stored without one."""
    seal = {name: (row[name] or b"").hex() for name in ("prevhash", "sig")}
    return {**row, **seal, "key": row["key"] or ""}


def write_parquet(store: EventStore, target: Path) -> None:
    """Write every event as Parquet, in row groups, so that memory stays bounded.

    Raises:
        ValueError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(
            f"Parquet needs pyarrow: {sys.executable} -m pip install pyarrow"
        ) from None
    types = (
        pa.string(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.string(), pa.float64(),
        pa.string(), pa.string(), pa.string(), pa.string(),
    )  # fmt: skip
    table_schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    with pq.ParquetWriter(target, table_schema) as writer:
        for rows in _groups(map(_flat, store.read()), 50_000):
            writer.write_table(pa.Table.from_pylist(rows, schema=table_schema))


def _groups(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
