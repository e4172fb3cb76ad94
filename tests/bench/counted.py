"""The work whose instructions are counted; run under callgrind by `tests.bench.instructions`.

    valgrind --tool=callgrind --dump-before='*getsid*' ... python -m tests.bench.counted FRAMES LABELS [alone]

Callgrind writes a part of its output wherever `mark` calls getsid(2), which nothing else here does, so that each
part holds what lies between two marks. LABELS gets a line a part: the work's name, `work` or `floor`, and the
repeats; or `-` for what is not counted (loading, warming up, clearing away). `alone` starts no decoder's process.

Everything is fixed: keys, nonces, times, frames, names; databases are made in the working directory, so that no
name of a folder is in the strings. Two runs do the same work to the last byte.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import zxingcpp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.controller.controller import Controller, Ports
from agent.controller.memory import JournalMemory
from agent.controller.ports import FrameCodes
from agent.controller.records import Recorder, Sighting
from agent.credential import base45, cose, registry
from agent.credential.numbers import Header
from agent.daemon.pins import pin_map
from agent.gatekeeper.pinmap import inputs
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from agent.passage import machine
from agent.passage.events import (
    CodesSeen,
    Committed,
    Event,
    PassageSensed,
    StartBiometric,
    Tick,
    Verified,
)
from agent.passage.types import Code, Direction, Mode, Phase, Requirement, Rules, Use
from agent.policy import decide
from agent.policy.judge import Judge, Place
from agent.policy.profile import parse_profile
from agent.scan.cascade import Cascade
from agent.scan.scanner import Scanner
from agent.settings.model import Config, GateConfig, GpioConfig, ScanConfig
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from tests.bench import bench_formats, bench_journal
from tests.bench.counted_codes import NOW, PASSAGES, Codes, Frames, fixed, load
from tests.support import makers
from tests.support.gate_in_hand import GateInHand

WARM_ROUNDS = 10
"""CPython 3.11 and later rewrite a function's bytecode on its first calls; then it stays."""
ROUNDS = PASSAGES - WARM_ROUNDS
PROFILE = 'name = "bench"\ntitle = "t"\nkinds = ["library-card"]\n'
RULES = registry.ReadRules(now=NOW, clock_trusted=True, site="bench", gate="g")
SETTINGS = GpioConfig(passage_2=26, door=12, key=20)
TIMING = GateConfig(site="bench", gate="g")
LINES = pin_map(Config(gate=TIMING, gpio=SETTINGS))
POLL_S = 0.005
WHOLE = "code to relay, whole"
MISSES, RETRIES = 24, 4
"""In a still place one miss of so many is retried, in so many ways by turns: see `agent.scan.cascade`."""

Act = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """Something that is counted.

    Attributes:
        name: as the report shows it.
        prepare: takes the number of the round and returns what is counted; is not counted itself.
        repeats: how often a round does it, where one time is small beside a mark.
        floor: the bare calls that nobody can leave out, counted as often.
        warm: rounds before the first that is counted.
        rounds: all rounds.
    """

    name: str
    prepare: Callable[[int], Act]
    repeats: int = 1
    floor: Act | None = None
    warm: int = WARM_ROUNDS
    rounds: int = PASSAGES


# --- the works


def same(name: str, act: Act, repeats: int, floor: Act | None = None) -> Work:
    """Return work that needs nothing new for a round."""
    return Work(name, lambda _: act, repeats, floor)


def verifying(codes: Codes, cases: dict[str, bench_formats.Case]) -> list[Work]:
    """Every format: text to judged claims, with its signatures."""
    with fixed():
        dynamic, static = codes.dynamic(), codes.static()
    trust = codes.trust()
    outer = cose.parse_sign1(base45.decode(dynamic[4:]), kcwt=True)
    inner = cose.sign1_of(outer.protected[Header.KCWT].value)
    issuers, holders = _bare(codes.issuer.key.public, inner), _bare(codes.holder.key.public, outer)
    works = [
        same(
            "verify, dynamic code", lambda: registry.read(dynamic, keys=trust, rules=RULES), 5,
            lambda: (issuers(), holders()),
        ),
        same(
            "verify, static code", lambda: registry.read(static, keys=trust, rules=RULES), 5, issuers
        ),
    ]  # fmt: skip
    others = makers.replace(makers.RULES, site_keys=(makers.SITE_KEY,))
    for name, case in cases.items():
        read = functools.partial(registry.read, case.payload, keys=case.keys, rules=others)
        repeats = 3 if name == "transit" else 5  # three signatures of SM2 each
        works.append(same(f"verify, {name}", read, repeats, case.bare))
    return works


def _bare(public: Any, message: cose.Sign1) -> Act:
    """Return one bare signature verification."""
    r, s = (
        int.from_bytes(half, "big") for half in (message.signature[:32], message.signature[32:])
    )
    der, signed = encode_dss_signature(r, s), cose.signed_bytes(message)
    scheme = ec.ECDSA(hashes.SHA256())
    return lambda: public.verify(der, signed, scheme)


def deciding(codes: Codes) -> Work:
    """The site's rules alone, on a credential that was read."""
    with fixed():
        text = codes.dynamic()
    credential = registry.read(text, keys=codes.trust(), rules=RULES)
    profile, moment = parse_profile(PROFILE, source="bench"), decide.Moment(now=NOW)
    return same("policy", lambda: decide.decide(credential, profile, moment), 50)


def walking(codes: Codes) -> Work:
    """The machine's whole passage, six steps, as bench_gate has it; its floor is one signature."""
    with fixed():
        message = cose.parse_sign1(codes.credential())
    rules = Rules()
    use = Use("subject", Requirement.NONE, Direction.IN, b"mark")
    at = [0.0]
    state = [machine.start(Mode.NORMAL, 0.0, rules)[0]]

    def act() -> None:
        at[0] += 10
        number = state[0].attempt + 1
        digest = number.to_bytes(8)
        for event in (
            CodesSeen((Code(digest, b""),)),
            Verified(number, digest, use),
            Committed(number),
            CodesSeen(()),
            PassageSensed(Direction.IN),
        ):
            at[0] += 0.01
            state[0], _ = machine.step(state[0], event, at[0], rules)
        state[0], _ = machine.step(state[0], Tick(), at[0] + 5, rules)

    return same("passage, all steps", act, 20, _bare(codes.issuer.key.public, message))


def polling() -> Work:
    """One poll of the gate's inputs, relay and lamps."""
    gate, gpio, _ = _gate()
    pins = [line.pin for line in inputs(LINES)]
    now = [1.0]

    def reads() -> None:
        for pin in pins:
            gpio.read(pin)

    def act() -> None:
        now[0] += POLL_S
        gate.tick(now[0])

    return same("gate, one poll", act, 100, reads)


def _gate(clock: Callable[[], float] = lambda: 0.0) -> tuple[GateInHand, SimulatedGpio, PinBoard]:
    board = PinBoard()
    for line in inputs(LINES):
        board.drive(line.pin, level=not line.active)
    gpio = SimulatedGpio(board=board)
    gate = GateInHand(gpio, SETTINGS, TIMING, lambda _: None, clock=clock)
    gate.setup()
    gate.tick(0.0)
    return gate, gpio, board


def writing(folder: Path, stack: ExitStack) -> Work:
    """A mark and its decision; the disk's own work is the kernel's and is not counted."""
    journal, numbers = _journal(folder / "uses.sqlite", stack), iter(range(10**9))
    data, db = bench_journal.encode_data(bench_journal.EVENT), bench_journal.bare(folder / "bare")
    stack.callback(db.close)

    def act() -> None:
        journal.commit_use(b"%08d" % next(numbers), 2**40, bench_journal.EVENT)

    def insert() -> None:
        db.execute("INSERT INTO event(data) VALUES(?)", (data,))

    return same("journal, mark and decision", act, 20, insert)


def _journal(path: Path, stack: ExitStack) -> Journal:
    opened = Journal.open(path, boot_id="b" * 32, clock=lambda: float(NOW))
    stack.callback(opened.close)
    return opened


def decoding(frames: Frames) -> list[Work]:
    """The decoders on a frame, as the worker runs them."""
    held, empty = frames["held"][0], frames["empty"]
    seeing, staring, looks = Cascade(), Cascade(), iter(range(10**9))
    code = zxingcpp.BarcodeFormat.QRCode

    def miss() -> None:
        number = next(looks)
        staring.decode(empty[number % len(empty)], turn=number)

    for _ in range(MISSES):
        miss()
    return [
        same(
            "scan, code found", lambda: seeing.decode(held, turn=0), 1,
            lambda: zxingcpp.read_barcodes(held, formats=code),
        ),
        Work(
            "scan, nothing there", lambda _: miss, MISSES * RETRIES,
            lambda: zxingcpp.read_barcodes(empty[0], formats=code), warm=0, rounds=1,
        ),
    ]  # fmt: skip


class Ended(RuntimeError):
    """A biometric was asked for where the profile has none."""


class NoChecks:
    """The biometrics of a place that asks for none."""

    def start(self, effect: StartBiometric) -> None:
        raise Ended(effect)

    def stop(self, attempt: int) -> None:
        """Nothing ever runs."""


@dataclass
class Stopped:
    """A clock that only the bench moves."""

    now: float = 0.0

    def wall(self) -> float:
        return float(NOW)

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9) + 10**12

    def believed_wall(self) -> float:
        return float(NOW)


class Way:
    """Frame in hand to relay on: decoders, judge, machine, journal and gate of the product.

    As one process: the exchange with the decoder's own process is counted apart.
    """

    def __init__(self, codes: Codes, journal: Journal, frames: Frames) -> None:
        self.frames, self.cascade, self.clock = frames["way"], Cascade(), Stopped()
        self.gate, _, self.board = _gate(lambda: self.clock.now)
        hasher, profile = SubjectHasher(bytes(32)), parse_profile(PROFILE, source="bench")
        memory = JournalMemory(
            journal, hasher, zone="main", passback_s=600, reuse_s=10, began_at=NOW, failures=3,
            enrolled=lambda _: False,
        )  # fmt: skip
        trust = codes.trust()
        parts = Ports(
            judge=Judge(Place("bench", "g", profile), timer=lambda: 0, memory=memory),
            trust=lambda: trust, clock=self.clock, journal=journal, hasher=hasher, gate=self.gate,
            checks=NoChecks(), recorder=Recorder(boot_id="b" * 32, profile="bench", zone="main"),
            respond=lambda *_: None, save_mode=lambda _: None, observe=lambda _: None,
        )  # fmt: skip
        self.controller = Controller(parts, Rules.of(TIMING, SETTINGS))

    def prepare(self, number: int) -> Act:
        """Let the last person go; a frame with a code that was not shown yet is next."""
        self._leave()
        return lambda: self._pass(self.frames[number])

    def _pass(self, frame: Any) -> None:
        found, _ = self.cascade.decode(frame, turn=0)
        codes = tuple(Code(hashlib.sha256(each.data).digest(), each.data) for each in found)
        taken = self.clock.monotonic_ns()
        sightings = {code.digest: Sighting(taken, taken, 2.0) for code in codes}
        self.controller.handle(FrameCodes(CodesSeen(codes), sightings))
        self.clock.now += POLL_S
        self.gate.tick(self.clock.now)
        if not self.board.level(SETTINGS.relay):
            raise Ended("the relay is off after a good code")

    def _leave(self) -> None:
        self._later(0.1, PassageSensed(Direction.IN))
        self._later(0.1, CodesSeen())
        self._later(10.0, Tick())
        self._later(10.0, Tick())
        if self.controller.state.phase is not Phase.IDLE:
            raise Ended(f"the passage hangs in {self.controller.state.phase}")

    def _later(self, seconds: float, event: Event) -> None:
        self.clock.now += seconds
        self.gate.tick(self.clock.now)
        self.controller.handle(event)


# --- counting


def mark() -> None:
    """End a part of callgrind's output."""
    os.getsid(0)


def count(work: Work, labels: TextIO) -> None:
    """Warm the work up, then count it and its floor."""
    gc.collect()  # it does not run by itself here, at a moment that depends on the rest
    for number in range(work.rounds):
        kind = "work" if number >= work.warm else ""
        _round(work, work.prepare(number), kind, labels)
    if work.floor is not None:
        for number in range(work.rounds - work.warm + 1):
            _round(work, work.floor, "floor" if number else "", labels)


def _round(work: Work, act: Act, kind: str, labels: TextIO) -> None:
    if kind:
        mark()
        labels.write("-\n")
    for _ in range(work.repeats):
        act()
    if kind:
        mark()
        labels.write(f"{work.name}\t{kind}\t{work.repeats}\n")


def works(frames: Frames, folder: Path, stack: ExitStack, *, alone: bool = False) -> Iterator[Work]:
    """Yield all work; what a work keeps open is closed by `stack`."""
    with fixed():
        codes, cases = Codes(), bench_formats._cases()
    yield from verifying(codes, cases)
    yield deciding(codes)
    yield walking(codes)
    yield polling()
    yield writing(folder, stack)
    yield Work(WHOLE, Way(codes, _journal(folder / "way.sqlite", stack), frames).prepare)
    yield from decoding(frames)
    if alone:
        return
    # Last: how long a process takes to start is chance, and leaves another heap behind.
    scanner = stack.enter_context(Scanner(ScanConfig(deadline_ms=20_000)))
    scanner.wait_ready(60)
    held = frames["held"][0]
    yield same("scan, daemon's half", lambda: scanner.scan_luma(held), 5)
    if scanner.incidents:
        raise Ended(f"the scanner had incidents: {scanner.incidents}")


def main(arguments: list[str]) -> int:
    gc.disable()
    frames, labels, *more = arguments
    with ExitStack() as stack, Path(labels).open("w", encoding="utf-8") as out:
        for work in works(load(Path(frames)), Path(), stack, alone="alone" in more):
            count(work, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
