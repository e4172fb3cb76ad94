"""A day at a gate in accelerated time: real code, simulated clock, people, faults; invariants held.

    ./setup.sh soak [--hours 24] [--seed N]

Checked at every poll and every effect: the relay is on only for a grant, a release, fire or free
passage, and never beyond its limit; a grant opens only after its row and its mark are on the disk
(asked over a connection of its own), once a use, to somebody who may pass, on a believed clock;
every grant ends once, as passed, annulled or aborted, over crashes too; the collector gets every
`seq` once and in order; an undisturbed gate gives each visitor exactly the reason it should.

The seed decides everything but keys and signatures: the same seed, the same day.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import logging
import math
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.journal.journal import JournalError
from agent.passage.events import CodesSeen, StartBiometric
from agent.passage.types import Mode, Phase
from agent.reason import Reason
from hal.simulated.barrier import Behaviour
from tests.soak.station import IDLE_S, POLL_S, Broken, Station
from tests.soak.town import Town, Visit
from tests.soak.troubles import SETTLE_S, Script, Troubles

FRAME_S = 1 / 15
REARM_S = 1.4
COLLECT_S = 2.0
FIRST_HOUR = 7
BUSY = (0.1, 0.05, 0.05, 0.05, 0.1, 0.3, 0.6, 1.0, 1.0, 0.8, 0.5, 0.5,
        0.8, 0.8, 0.5, 0.5, 0.7, 1.0, 1.0, 0.7, 0.4, 0.3, 0.2, 0.15)  # fmt: skip
"""How busy each hour of the day is; 1 is a visitor as soon as the last one left."""


@dataclass
class Account:
    """What the collector makes of the rows: nothing lost, nothing twice."""

    next_seq: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    granted: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    rows: int = 0

    def take(self, row) -> None:
        if row.seq != self.next_seq[row.boot_id]:
            raise Broken(f"seq {row.seq} of {row.boot_id} follows {self.next_seq[row.boot_id] - 1}")
        self.next_seq[row.boot_id] += 1
        self.rows += 1
        data = json.loads(row.data)
        if row.type == "decision" and data["decision"] == "granted":
            self.granted.add(data["passage"])
        if row.type == "passage" and data["outcome"] in {"passed", "annulled", "aborted"}:
            self.ends[data["passage"]] += 1

    def close(self, lost: set[str]) -> None:
        """Hold every grant against its ends.

        Args:
            lost: grants whose end the disk refused to take.
        """
        twice = [name for name, count in self.ends.items() if count > 1]
        without = self.granted - set(self.ends) - lost
        strange = set(self.ends) - self.granted - lost
        if twice or without or strange:
            raise Broken(f"ends: {twice} twice, {sorted(without)} without, {strange} of no grant")


class Soak:
    """One run.

    Args:
        folder: for the journal.
        seed: of everything random.
        people: with wallets.
    """

    def __init__(self, folder: Path, seed: int, people: int = 60) -> None:
        self.rng = random.Random(seed)
        self.face: tuple[float, bool, Reason] = (1.0, True, Reason.GRANTED)
        self.town = Town(self.rng, 1_800_000_000.0, people)
        self.station = Station(folder, lambda: self.town.trust, self._face_of)
        self.account = Account()
        self.in_view: tuple = ()
        self.view_until = 0.0
        self.calm_since = 0.0
        self.collector_up = True
        self.broken = False
        self.sent = 0
        self.visits = 0
        self.checked = 0
        self._plan: list[tuple[float, int, Script]] = []
        self._order = 0
        self._next_frame = self._next_collect = 0.0
        self.trail = hashlib.sha256()

    def _face_of(self, _effect: StartBiometric) -> tuple[float, bool, Reason]:
        return self.face

    # --- time

    @property
    def now(self) -> float:
        return self.station.times.now

    def run(self, hours: float) -> None:
        """Live that long, then close the day.

        Raises:
            Broken: an invariant does not hold.
        """
        for script in (self._people(), Troubles(self).come(), self._keys()):
            self._schedule(0.1, script)
        end = hours * 3600
        try:
            while self.now < end:
                self._turn()
            self._close()
        finally:
            self.station.close_files()

    def _turn(self) -> None:
        station = self.station
        awake = station.awake or self.now < self.view_until
        until = self.now + POLL_S
        if not awake:
            due = self._plan[0][0] if self._plan else until
            until = min(max(until, due), self.now + IDLE_S)
        station.advance(until)
        self._film()
        while self._plan and self._plan[0][0] <= self.now:
            _, _, script = heapq.heappop(self._plan)
            after = next(script, None)
            if after is not None:
                self._schedule(after, script)
        if self._disturbed():
            self.calm_since = self.now + SETTLE_S
        if self.now >= self._next_collect:
            self._next_collect = self.now + COLLECT_S
            self._collect()

    def _schedule(self, after: float, script: Script) -> None:
        self._order += 1
        heapq.heappush(self._plan, (self.now + after, self._order, script))

    def _film(self) -> None:
        """Hand over a frame's codes; for a while after the last one, frames without any."""
        if self.in_view:
            self.view_until = self.now + REARM_S
        if self.now < self.view_until and self.now >= self._next_frame:
            self._next_frame = self.now + FRAME_S
            self.station.handle(CodesSeen(self.in_view))

    def _disturbed(self) -> bool:
        state, station = self.station.controller.state, self.station
        return (
            state.effective is not Mode.NORMAL
            or state.tamper
            or station.times.error != 0
            or not station.guard._verdict.trusted
            or not station.journal_works()
            or not station.journal.has_room()
            or self.broken
        )

    # --- the collector

    def _collect(self) -> None:
        if not self.collector_up:
            return
        try:
            rows = self.station.journal.pending(limit=200)
            for row in rows:
                self.account.take(row)
                self.trail.update(row.type.encode() + b" %d " % row.seq)
            for boot in {row.boot_id: row.seq for row in rows}.items():
                self.station.journal.acknowledge(*boot)
        except JournalError:
            self.station.counts["collector refused"] += 1

    def _close(self) -> None:
        """End in good order, collect what is left, and hold the account against the grants."""
        self.collector_up = True
        self.station.stop()
        self.station.boot()
        before = -1
        while before != self.account.rows:
            before = self.account.rows
            self._collect()
        self.station.crash()
        self.account.close(self.station.lost_ends)
        if len(self.station.answers) != self.sent:
            raise Broken(f"{self.sent} commands, {len(self.station.answers)} answers")

    # --- people

    def _people(self) -> Script:
        while True:
            hour = (FIRST_HOUR + int(self.now // 3600)) % 24
            yield self.rng.expovariate(1 / (6.0 / BUSY[hour]))
            self.visits += 1
            yield from self._visit(self.town.visit(self.station.times.true))

    def _visit(self, visit: Visit) -> Script:
        station, rng = self.station, self.rng
        mode = station.controller.state.effective
        if visit.name == "jumper" or mode in {Mode.FREE, Mode.FIRE}:
            if not station.barrier.busy:
                station.barrier.force(inwards=rng.random() < 0.7)
            yield 3.0
            return
        began, key = self.now, visit.codes[0].digest
        for code in visit.codes:
            station.may_pass[code.digest] = visit.may_pass
            station.verdicts.pop(code.digest, None)
        station.walker, self.face, self.in_view = visit.walk, visit.face, visit.codes
        yield 0.3
        if visit.name == "swapper":
            self._swap(began)
        while station.decided_at < began and self.now < began + 12:
            yield 0.1
        verdict = station.verdicts.get(key)
        if verdict is None and station.decided_at >= began:
            verdict = station.last_reason  # refused before it was verified
        self._judge(visit, began, verdict)
        yield 0.2
        self.in_view = ()
        yield from self._leave(began, visit, verdict)

    def _swap(self, began: float) -> None:
        other = self.town.visit(self.station.times.true)
        if other.name == "genuine":
            for code in other.codes:
                self.station.may_pass[code.digest] = other.may_pass
            self.in_view = other.codes

    def _judge(self, visit: Visit, began: float, verdict: Reason | None) -> None:
        """Hold the gate's answer against what this visitor deserves."""
        person = visit.person
        self.trail.update(f"{began:.2f} {visit.name} {verdict};".encode())
        calm = self.calm_since <= began and not self._disturbed()
        if calm and visit.expected:
            self.checked += 1
            waits = verdict is Reason.LOCKED_OUT and self.station.waits()
            if verdict not in visit.expected and not waits:
                raise Broken(f"{visit.name} got {verdict}, expected {sorted(visit.expected)}")
        if person is None or not person.upgraded:
            return
        recent = [at for at in person.failures if began - at < 299]
        locked = len(recent) >= 3 and self.calm_since <= recent[0]
        if locked and verdict is Reason.GRANTED:
            raise Broken(f"person {person.number} passes after {len(recent)} failures")
        if verdict is Reason.FACE_MISMATCH:
            person.failures.append(self.now)
        elif verdict is Reason.GRANTED:
            person.failures.clear()

    def _leave(self, began: float, visit: Visit, verdict: Reason | None) -> Script:
        """Walk or stay; the next one comes when the lane is free."""
        station = self.station
        passed = station.counts["passed"]
        patience = self.now + 15
        quiet = {Phase.IDLE, Phase.PASSED, Phase.DENIED}
        while self.now < patience:
            yield 0.2
            if station.controller.state.phase in quiet and not station.barrier.busy:
                break
        calm = self.calm_since <= began and not self._disturbed()
        calm = calm and bool(visit.expected) and verdict is Reason.GRANTED
        if calm and visit.walk is Behaviour.PASS and station.counts["passed"] == passed:
            raise Broken(f"{visit.name} walked, and nobody passed")
        station.walker = None
        station.barrier._expected.clear()
        yield REARM_S + 0.1

    # --- keys

    def _keys(self) -> Script:
        while True:
            yield 4 * 3600 * self.rng.uniform(0.8, 1.2)
            self.town.rotate(self.station.times.true)
            self.station.counts["key rotations"] += 1
            yield 2400
            self.town.drop_old(self.station.times.true)

    # --- the end

    def report(self, wall_s: float) -> str:
        """Return the numbers as lines."""
        counts = self.station.counts
        speed = self.now / wall_s
        lost, runs = len(self.station.lost_ends), len(self.account.next_seq)
        ends = ", ".join(f"{counts[end]} {end}" for end in ("passed", "annulled", "aborted"))
        lines = [
            f"{self.now / 3600:.1f} simulated hours in {wall_s:.0f} s ({speed:.0f} times as fast)",
            f"{self.visits} visitors, {self.checked} of them held against the exact reason",
            f"{counts['granted']} grants, {counts['denied']} denials; grants ended: {ends}",
            f"{self.account.rows} journal rows in {runs} runs of the daemon",
            f"{lost} ends of grants that a failing disk refused",
        ]
        lines += [f"  {count:6d} {name}" for name, count in sorted(counts.items())]
        return "\n".join([*lines, f"trail {self.trail.hexdigest()[:16]}"])


def live(folder: Path, seed: int, hours: float) -> Soak:
    """Run and return what was; the message of a broken invariant names seed and time."""
    soak = Soak(folder, seed)
    try:
        soak.run(hours)
    except AssertionError as broken:
        at = f"seed {seed}, {soak.now:.2f} s of the day"
        raise Broken(f"{at}: {broken}") from broken
    return soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if not (arguments.hours > 0 and math.isfinite(arguments.hours)):
        parser.error("--hours is a positive number")
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="idgate-soak-") as name:
        try:
            soak = live(Path(name), seed, arguments.hours)
        except Broken as broken:
            print(f"BROKEN: {broken}", file=sys.stderr)
            print(
                f"again: ./setup.sh soak --seed {seed} --hours {arguments.hours}", file=sys.stderr
            )
            return 1
    print(soak.report(time.monotonic() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
