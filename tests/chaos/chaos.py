"""Chaos: brokers, collectors and gates killed with SIGKILL; every decision must arrive exactly once.

Real Mosquitto with its own defaults (a queue of 1,000 messages, no save before it is killed), the
real `idgate fleet collect`, real gate processes with the real journal and reporter.

    python tests/chaos/chaos.py --events 50000 --gates 20 --broker-kills 20 \
        --collector-kills 20 --gate-kills 100

The collector's database is a scratch SQLite file, or a scratch PostgreSQL server (`--postgresql`), or
what `--database` names. `--rabbitmq` takes RabbitMQ's MQTT plugin in place of Mosquitto.

Prints a report; exit 0 when nothing was lost, doubled or skipped, 1 when something was.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from agent.fleet.store import EventStore  # noqa: E402 - the checkout's own, wherever it is run from
from agent.issuing.keys import SigningKey  # noqa: E402
from agent.journal.journal import Journal  # noqa: E402
from tests.chaos.servers import PostgreSql, RabbitMq, free_port, wait_for_port  # noqa: E402

SITE = "chaos"


def passage_id(gate: str, number: int) -> str:
    """Return the identity that gate.py gives a decision."""
    import hashlib

    return hashlib.sha256(f"{gate}:{number}".encode()).hexdigest()[:32]


@dataclass
class Plan:
    """What to do to whom.

    Attributes:
        events: decisions in all, split evenly over the gates.
        rate: decisions a second and gate.
        database: file or URL; "" is a SQLite file in the scratch directory.
        rabbitmq: RabbitMQ's MQTT plugin (3.1.1, no shared subscriptions) in place of Mosquitto.
        timeout_s: from the last kill to the last acknowledgement.
    """

    events: int
    gates: int
    broker_kills: int
    collector_kills: int
    gate_kills: int
    rate: float = 25.0
    database: str = ""
    seed: int = 1
    timeout_s: float = 300.0
    rabbitmq: bool = False

    @property
    def each(self) -> int:
        return self.events // self.gates

    @property
    def busy_s(self) -> float:
        return self.each / self.rate


@dataclass
class Report:
    """What was found; `wrong` is empty when the promise was kept."""

    seconds: float = 0.0
    expected: int = 0
    stored: int = 0
    rows: int = 0
    boots: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return [
            f"kills: {kills or 'none'}",
            f"decisions expected {self.expected}, in the collector {self.stored}",
            f"rows of all types {self.rows} in {self.boots} boots, {self.seconds:.1f} s",
            *(f"WRONG: {fault}" for fault in self.wrong[:20]),
            "every decision exactly once, no gap"
            if not self.wrong
            else f"{len(self.wrong)} faults",
        ]


class Chaos:
    """Starts the parts, kills them by schedule, starts them again, and looks at the result."""

    def __init__(self, plan: Plan, directory: Path, say=print) -> None:
        self.plan = plan
        self.directory = directory
        self.say = say
        self.chance = random.Random(plan.seed)
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.database = plan.database or str(directory / "fleet.sqlite")
        self.gates = [f"gate-{number:02d}" for number in range(plan.gates)]
        self.processes: dict[str, subprocess.Popen] = {}
        self.finished: set[str] = set()
        self.report = Report(expected=plan.each * plan.gates)
        key = SigningKey.new("ES256")
        (directory / "operator.key").write_bytes(key.private_pem())
        (directory / "operator.pem").write_bytes(key.public_pem())
        self.node = RabbitMq(directory, self.port) if plan.rabbitmq else None
        (directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {directory}/\n"
        )

    def run(self) -> Report:
        began = time.monotonic()
        try:
            self.start("broker")
            wait_for_port(self.port, 60.0)
            self.start("collector")
            for gate in self.gates:
                self.start(gate)
            self.kill_by_schedule()
            self.wait_for_gates()
        finally:
            self.stop()
        self.report.seconds = time.monotonic() - began
        self.judge()
        return self.report

    # -- processes ----------------------------------------------------------------------------

    def command(self, name: str) -> list[str]:
        if name == "broker" and self.node is not None:
            return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
        if name == "broker":
            broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
            return [broker, "-c", str(self.directory / "mosquitto.conf")]
        if name == "collector":
            return [
                sys.executable, "-m", "agent.cli", "fleet", "collect", "--broker", self.url,
                "--database", self.database, "--client-id", "chaos-collector",
                "--key", str(self.directory / "operator.key"),
                "--seal-key", str(self.directory / "collector.key"),
                *(("--mqtt", "3.1.1", "--group", "") if self.node else ()),
            ]  # fmt: skip
        return [
            sys.executable, str(HERE / "gate.py"), str(self.directory / f"{name}.sqlite"), SITE,
            name, self.url, str(self.plan.each), str(self.plan.rate),
            str(self.directory / "operator.pem"), "3.1.1" if self.node else "5",
        ]  # fmt: skip

    def start(self, name: str) -> None:
        log = (self.directory / f"{name}.log").open("ab")
        extra = self.node.environment if self.node and name == "broker" else {}
        with log:
            self.processes[name] = subprocess.Popen(
                self.command(name),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **extra},
                start_new_session=True,
            )

    def kill(self, name: str) -> bool:
        """Kill and start again; False when a gate has finished already."""
        process = self.processes[name]
        if process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.start(name)
        return True

    def stop(self) -> None:
        collector = self.processes.get("collector")
        if collector is not None and collector.poll() is None:
            collector.terminate()
            collector.wait(30)
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self.node is not None:
            self.node.close()

    # -- the run ------------------------------------------------------------------------------

    def kill_by_schedule(self) -> None:
        plan = self.plan
        schedule = [
            (self.chance.uniform(0.03, 0.95) * plan.busy_s, kind)
            for kind, count in (
                ("broker", plan.broker_kills),
                ("collector", plan.collector_kills),
                ("gate", plan.gate_kills),
            )
            for _ in range(count)
        ]
        heapq.heapify(schedule)
        began = time.monotonic()
        told = began
        while schedule:
            at, kind = heapq.heappop(schedule)
            time.sleep(max(0.0, began + at - time.monotonic()))
            name = self.chance.choice(self.gates) if kind == "gate" else kind
            if self.kill(name):
                self.report.kills[kind] += 1
            self.check_alive()
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(f"{told - began:6.1f} s  killed {dict(self.report.kills)}")

    def check_alive(self) -> None:
        """A part that ended by itself is a fault of its own."""
        for name, process in list(self.processes.items()):
            code = process.poll()
            if code is None or name in self.finished:
                continue
            if name in self.gates and code == 0:
                self.finished.add(name)
                continue
            self.report.wrong.append(f"{name} ended by itself with {code}: see its log")
            self.start(name)

    def wait_for_gates(self) -> None:
        end = time.monotonic() + self.plan.busy_s + self.plan.timeout_s
        while len(self.finished) < len(self.gates) and time.monotonic() < end:
            time.sleep(0.1)
            self.check_alive()
            if len(self.report.wrong) > 50:
                break
        for gate in sorted(set(self.gates) - self.finished):
            self.report.wrong.append(f"{gate} did not finish in time")

    # -- the verdict --------------------------------------------------------------------------

    def judge(self) -> None:
        store = EventStore(self.database)
        try:
            self.judge_rows(store)
        finally:
            store.close()

    def judge_rows(self, store: EventStore) -> None:
        wrong = self.report.wrong
        seen: Counter[tuple[str, str]] = Counter()
        numbers: dict[tuple[str, str], list[int]] = {}
        for row in store.read():
            if row["site"] != SITE:
                continue
            self.report.rows += 1
            numbers.setdefault((row["gate"], row["boot_id"]), []).append(row["seq"])
            if row["type"] == "decision":
                seen[row["gate"], msgspec.json.decode(row["data"])["passage"]] += 1
        self.report.stored = sum(seen.values())
        self.report.boots = len(numbers)
        for gate in self.gates:
            expected = {passage_id(gate, number) for number in range(1, self.plan.each + 1)}
            found = {passage for name, passage in seen if name == gate}
            wrong += [f"{gate}: decision {lost} lost" for lost in sorted(expected - found)]
            wrong += [f"{gate}: decision {more} unknown" for more in sorted(found - expected)]
        wrong += [f"{key}: {count} times" for key, count in seen.items() if count > 1]
        wrong += [
            f"{key}: gap in seq"
            for key, found in numbers.items()
            if sorted(found) != list(range(1, len(found) + 1))
        ]
        wrong += [f"gap told by the store: {gap}" for gap in store.gaps()]
        for gate in self.gates:
            self.compare_with_journal(gate, numbers)

    def compare_with_journal(self, gate: str, numbers: dict[tuple[str, str], list[int]]) -> None:
        """The gate's own disk and the collector must agree, boot by boot."""
        with Journal.open(self.directory / f"{gate}.sqlite", capacity=10**6) as journal:
            kept = {boot.boot_id: boot.last for boot in journal._boots.values() if boot.last}
        got = {boot: len(found) for (name, boot), found in numbers.items() if name == gate}
        if kept != got:
            self.report.wrong.append(f"{gate}: journal {kept} and collector {got} differ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--gates", type=int, default=20)
    parser.add_argument("--broker-kills", type=int, default=20)
    parser.add_argument("--collector-kills", type=int, default=20)
    parser.add_argument("--gate-kills", type=int, default=100)
    parser.add_argument("--gates-rate", type=float, default=25.0, help="decisions a second, each")
    parser.add_argument("--database", default="", help="file or URL; default a scratch SQLite")
    parser.add_argument("--postgresql", action="store_true", help="start a scratch server")
    parser.add_argument("--rabbitmq", action="store_true", help="instead of Mosquitto")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--timeout-s", type=float, default=300.0)
    parser.add_argument("--keep", type=Path, help="directory for logs and databases")
    arguments = parser.parse_args()
    plan = Plan(
        events=arguments.events,
        gates=arguments.gates,
        broker_kills=arguments.broker_kills,
        collector_kills=arguments.collector_kills,
        gate_kills=arguments.gate_kills,
        rate=arguments.gates_rate,
        database=arguments.database,
        rabbitmq=arguments.rabbitmq,
        seed=arguments.seed,
        timeout_s=arguments.timeout_s,
    )
    server = PostgreSql() if arguments.postgresql else None
    if server is not None:
        plan.database = server.url
    try:
        report = run(plan, arguments.keep)
    finally:
        if server is not None:
            server.close()
    print("\n".join(report.lines()))
    return 1 if report.wrong else 0


def run(plan: Plan, keep: Path | None) -> Report:
    """Run in `keep`, or in a directory that is gone afterwards."""
    parts = "RabbitMQ" if plan.rabbitmq else "Mosquitto"
    parts += ", PostgreSQL" if plan.database.startswith("postgres") else ", SQLite"
    print(f"{parts}; seed {plan.seed}, about {plan.busy_s:.0f} s of decisions", flush=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return Chaos(plan, keep).run()
    with tempfile.TemporaryDirectory() as directory:
        return Chaos(plan, Path(directory)).run()


if __name__ == "__main__":
    sys.exit(main())
