"""What is done at the emulated gate, chapter by chapter, and what must come of it.

Each chapter says how often the relay may rise in it, which is counted over the whole run, between
chapters too: a rise that no chapter expects is a failed check. Decisions are read where the fleet
reads them, at the collector; lamps, relay and times are seen from outside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.credential.model import Kind
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_script import Touch
from tests.pi import site
from tests.pi.lane import PATIENCE_S, Failed, Issuing, Lane, finger_reference
from tests.pi.outside import Event, TimeServer
from tests.pi.pins import Drive
from tests.pi.qemu import Emulator

FINGER, OTHER_FINGER = "ruth", "somebody else"
_JOURNAL = """
import json, sqlite3
database = sqlite3.connect("file:/var/lib/idgate/journal.sqlite?mode=ro", uri=True)
for row in database.execute("SELECT boot.boot_id, seq, type, data FROM event JOIN boot "
                            "ON boot.number = event.boot ORDER BY boot, seq"):
    print(json.dumps([*row[:3], json.loads(row[3])]))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        chapter, what: what it is about.
        seen: what was seen, in words.
        good: whether it is as it must be.
    """

    chapter: str
    what: str
    seen: str
    good: bool


@dataclass
class Story:
    """The run.

    Attributes:
        lane, board, module: the gate's surroundings.
        private: folder of the site's keys.
        began: monotonic second of the board's first instruction.
        checks, times: what was found; times by name, seconds.
        marks: when each chapter began, for the plot.
    """

    lane: Lane
    board: Emulator
    module: SimulatedFingerprint
    private: Path
    began: float
    checks: list[Check] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    _chapter: str = ""
    _counted_to: float = 0.0

    def tell(self) -> None:
        """Go through all chapters.

        Raises:
            Failed, GuestError: the gate stands still; what was checked until then is kept.
        """
        self.people = Issuing(self.private)
        self._counted_to = self.began
        for title, rises, chapter in (
            ("boot", 0, self.boot),
            ("no time yet", 0, self.no_time),
            ("grant", 1, self.grant),
            ("denials", 0, self.denials),
            ("fire", 2, self.fire),
            ("no network", 1, self.no_network),
            ("killed", 2, self.killed),
            ("hung", 2, self.hung),
            ("power cut", 2, self.power_cut),
            ("finger module", 0, self.fit_module),
            ("finger", 1, self.finger),
            ("fleet", 0, self.exact),
            ("power off", 0, self.power_off),
        ):
            with self._in_chapter(title, rises):
                chapter()

    # -- the chapters

    def boot(self) -> None:
        """From the first instruction to a gate that is ready: nothing moves."""
        lane = self.lane
        lane.console.log_in(2 * PATIENCE_S)
        self.times["boot: first instruction to a shell"] = time.monotonic() - self.began
        ready = lane.ready()
        self.times["boot: first instruction to READY"] = ready - self.began
        told = lane.service("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        first, last = (int(value) / 1e6 for value in told.values())
        self.times["agent: process start to READY, by the guest's clock"] = abs(last - first)
        before = [change for change in lane.pins.changes if change.at < ready]
        driven = {change.pin for change in before if change.drive is Drive.HIGH} - {site.GREEN}
        self.check(
            "no output but the green lamp is driven high before READY",
            f"driven high: {sorted(driven - {site.READY}) or 'none'}",
            not driven - {site.READY},
        )
        relay = [change.drive for change in before if change.pin == site.RELAY]
        self.check(
            "the relay's pin is an input until the agent takes it, then low",
            " -> ".join(relay),
            relay[:1] == [Drive.NOTHING] and set(relay) <= {Drive.NOTHING, Drive.LOW},
        )

    def no_time(self) -> None:
        """A board without a battery-backed clock believes no dynamic code until it has the time."""
        lane = self.lane
        guest = int(lane.console.run("date +%s"))
        lane.refused(self.people.code())
        behind = time.time() - guest
        TimeServer()
        lane.console.run("systemctl restart systemd-timesyncd")
        synced = "[ -e /run/systemd/timesync/synchronized ]"
        lane.until(
            lambda: lane.console.run(f"{synced} && echo yes || sleep 1") == "yes",
            "the guest's clock is synchronised",
        )
        off = abs(float(lane.console.run("date +%s.%N")) - time.time())
        self.check(
            "a fresh code is refused while the clock was never set",
            f"guest {behind / 3600:.0f} h behind: {lane.next_verdict(0)['reason']}",
            lane.next_verdict(0)["reason"] == "clock_untrusted",
        )
        self.check("the clock is set by the time server", f"{off:.1f} s off", off < 2.0)
        self.times["clock: difference to this machine after it was set"] = off

    def grant(self) -> None:
        """A fresh code opens; the person walks; it closes."""
        lane = self.lane
        self._wait_for_trust()
        verdict, code = self._passage()
        self.check(
            "a fresh code is granted", self._words(verdict), verdict["decision"] == "granted"
        )
        passed = self.lane.until(lambda: lane.told("passage"), "the passage at the collector")
        outcome = passed[-1].data["outcome"]
        self.check("the walk through the beam ends it", outcome, outcome == "passed")
        self._used = code

    def denials(self) -> None:
        """Codes that must not open."""
        fresh = self.people.code
        for what, code, wanted in (
            ("the same code once more", self._used, "replayed"),
            ("a code made two minutes ago", fresh(age_s=120), "stale"),
            (
                "a fresh code of a phone without the key",
                fresh(borrowed=True),
                "bad_holder_signature",
            ),
            ("a code of an unknown issuer", fresh(issuer=self.people.stranger), "unknown_issuer"),
        ):
            before = len(self.lane.verdicts())
            self.lane.refused(code)
            reason = self.lane.next_verdict(before)["reason"]
            self.check(f"denied: {what}", reason, reason == wanted)

    def fire(self) -> None:
        """The loop opens: the relay holds the gate open and nobody is checked, until it is whole."""
        lane, pins = self.lane, self.lane.pins
        before = len(lane.verdicts())
        at = time.monotonic()
        pins.set_input(site.FIRE, level=True)
        self.times["fire: loop open to relay on"] = lane.drives(site.RELAY, Drive.HIGH) - at
        lane.show(self.people.code())
        modes = lane.until(
            lambda: [e for e in lane.told("mode") if e.data.get("mode") == "fire"],
            "the fire at the collector",
        )
        self.check("the fleet is told of the fire", json.dumps(modes[-1].data), bool(modes))
        held = pins.drive(site.RELAY) is Drive.HIGH
        self.check("the relay is held on", "on" if held else "off", held)
        lane.show()
        at = time.monotonic()
        pins.set_input(site.FIRE, level=False)
        self.times["fire: loop whole to relay off"] = lane.drives(site.RELAY, Drive.LOW) - at
        checked = len(lane.verdicts()) - before
        self.check("nobody is checked meanwhile", f"{checked} decisions on codes", not checked)
        verdict, _ = self._passage()
        self.check("then it works again", self._words(verdict), verdict["decision"] == "granted")

    def no_network(self) -> None:
        """The cable is out: the gate decides as before, and tells the fleet afterwards."""
        lane = self.lane
        before = len(lane.verdicts())
        lane.bring(self.people.code())
        self.board.execute("set_link", name="net0", up=False)
        lane.hold_up()
        lane.drives(site.RELAY, Drive.HIGH)
        lane.walk()
        unheard = len(lane.verdicts()) == before
        self.board.execute("set_link", name="net0", up=True)
        verdict = lane.next_verdict(before)
        self.check(
            "a grant without a network reaches the collector later",
            f"{'unheard of before, ' if unheard else 'known before the cable was in, '}"
            f"then {verdict['decision']}",
            unheard and verdict["decision"] == "granted",
        )
        lane.show()

    def killed(self) -> None:
        """SIGKILL with the relay on: the pin drops, and the gate comes back."""
        self._die("KILL", "killed", "killed")

    def hung(self) -> None:
        """SIGSTOP with the relay on: the watchdog ends it, the pin drops, the gate comes back."""
        self._die("STOP", "stopped still", "watchdog")
        said = self.lane.console.run(
            "journalctl -u idgate -o cat --no-pager | grep -ci watchdog", check=False
        )
        self.check("systemd says that its watchdog did it", f"{said} lines", int(said) > 0)

    def power_cut(self) -> None:
        """The plug is pulled with the relay on: nothing moves until the gate is ready again."""
        lane, pins = self.lane, self.lane.pins
        cut_short = len(self._aborted())
        code = self.people.code()
        lane.let_in(code)
        heard = lane.console.heard()
        at = time.monotonic()
        self.board.cut_power()
        off = lane.drives(site.RELAY, Drive.NOTHING)
        lane.rest()
        self.board.go()
        lane.console.log_in(2 * PATIENCE_S, since=heard)
        self.times["power cut: power back to READY"] = lane.ready() - at
        rises = len(pins.rises(site.RELAY, off))
        self.check("nothing moves while it starts again", f"{rises} rises", not rises)
        self._wait_for_trust()
        lane.until(lambda: len(self._aborted()) > cut_short, "the passage that was cut short")
        self.check("the passage that was cut short is told", "aborted", True)
        before = len(lane.verdicts())
        lane.refused(code)
        reason = lane.next_verdict(before)["reason"]
        self.check("its code counts as used", reason, reason in {"replayed", "stale"})
        verdict, _ = self._passage()
        self.check("then it works again", self._words(verdict), verdict["decision"] == "granted")

    def fit_module(self) -> None:
        """An installer fits the module on the UART and pairs it, with the documented commands."""
        lane, run = self.lane, self.lane.console.run
        stopped = time.monotonic()
        run("systemctl stop idgate")
        lane.drives(site.RELAY, Drive.NOTHING)
        self.check(
            "stopping lets go of every pin",
            ", ".join(f"GPIO{pin} {lane.pins.drive(pin)}" for pin in lane.pins.watched),
            all(lane.pins.drive(pin) is Drive.NOTHING for pin in lane.pins.watched),
        )
        for text, path in (
            (site.FINGER_SETTINGS, "config.toml"),
            (site.PROFILE_FINGER, "pilot.toml"),
        ):
            into = ">>" if path == "config.toml" else ">"
            run(f"printf %s {_quoted(text)} {into} /etc/idgate/{path}")
        said = run(
            "cd / && runuser -u idgate -- idgate finger pair --password "
            "--config /etc/idgate/config.toml",
            timeout_s=PATIENCE_S,
        )
        self.check(
            "the module is paired over /dev/ttyAMA0", said.splitlines()[-1], "paired" in said
        )
        run("systemctl start idgate", timeout_s=PATIENCE_S)
        self.times["restart: stop, pairing and start"] = lane.ready() - stopped

    def finger(self) -> None:
        """An upgraded identity is asked for its finger."""
        lane = self.lane
        reference = finger_reference(FINGER)
        before = len(lane.verdicts())
        lane.show(self.people.code(finger=reference))
        self._touch(OTHER_FINGER, until=lambda: lane.pins.drive(site.RED) is Drive.HIGH)
        lane.show()
        verdict = lane.next_verdict(before)
        self.check("another finger", verdict["reason"], verdict["reason"] == "finger_mismatch")
        lane.drives(site.RED, Drive.LOW)
        before = len(lane.verdicts())
        lane.show(self.people.code(finger=reference))
        self._touch(FINGER, until=lambda: lane.pins.drive(site.RELAY) is Drive.HIGH)
        lane.walk()
        lane.show()
        verdict = lane.next_verdict(before)
        self.check(
            "the finger in the credential", self._words(verdict), verdict["decision"] == "granted"
        )
        self.times["finger: check by the agent's clock"] = verdict["stages_ms"]["finger"] / 1e3

    def exact(self) -> None:
        """What the gate's journal holds is what the collector has, row by row."""
        rows = [
            json.loads(line)
            for line in self.lane.console.run(f"python3 -c {_quoted(_JOURNAL)}").splitlines()
        ]

        def same() -> bool:
            there = {(e.boot_id, e.seq): [e.type, e.data] for e in self.lane.fleet.events()}
            return all(there.get((boot, seq)) == [kind, data] for boot, seq, kind, data in rows)

        try:
            self.lane.until(same, "every row of the journal at the collector")
            good = True
        except Failed:
            good = False
        boots = len({row[0] for row in rows})
        self.check(
            "every row of the journal is at the collector, exactly",
            f"{len(rows)} rows of {boots} runs, {len(self.lane.fleet.events())} collected",
            good and len(rows) > 0,
        )

    def power_off(self) -> None:
        """Shutting down moves nothing."""
        self.lane.console.send("systemctl poweroff")
        self.lane.drives(site.READY, Drive.NOTHING)
        off = self.board.wait_off(PATIENCE_S)
        self.check("the board shuts down", "off" if off else "still on", off)

    # -- parts of chapters

    def check(self, what: str, seen: str, good: bool) -> None:
        """Keep what was seen, and say it."""
        self.checks.append(Check(self._chapter, what, seen, good))
        self.lane.say(f"{'ok  ' if good else 'FAIL'} {self._chapter}: {what}: {seen}")

    @contextmanager
    def _in_chapter(self, title: str, rises: int) -> Iterator[None]:
        self._chapter = title
        self.marks.append((time.monotonic(), title))
        yield
        now = time.monotonic()
        seen = self.lane.pins.rises(site.RELAY, self._counted_to, now)
        self._counted_to = now
        self.check(
            "the relay rises exactly so often", f"{len(seen)} of {rises}", len(seen) == rises
        )

    def _passage(self) -> tuple[dict[str, Any], str]:
        """Let a person in and through; return the decision and the code."""
        before = len(self.lane.verdicts())
        code = self.people.code()
        shown, opened = self.lane.let_in(code)
        self.lane.walk()
        verdict = self.lane.next_verdict(before)
        self.times.setdefault("grant: picture before the camera to relay on", opened - shown)
        for name, value in verdict.get("stages_ms", {}).items():
            self.times.setdefault(f"grant: {name}, by the agent's clock", value / 1e3)
        return verdict, code

    def _wait_for_trust(self) -> None:
        """Show codes as a person would who tries again, until the agent believes the time."""
        tries = 0
        while True:
            tries += 1
            before = len(self.lane.verdicts())
            self.lane.show(self.people.code(kind=Kind.DRIVING_LICENCE))
            reason = self.lane.next_verdict(before)["reason"]
            self.lane.show()
            if reason != "clock_untrusted":
                return
            if tries == 20:
                raise Failed("the agent does not believe the clock that the time server set")

    def _die(self, signal: str, what: str, drop: str) -> None:
        lane = self.lane
        code = self.people.code()
        served = lane.service("MainPID", "NRestarts")
        before = len(self._aborted())
        lane.let_in(code)
        at = time.monotonic()
        lane.console.run(f"kill -{signal} {served['MainPID']}")
        off = lane.drives(site.RELAY, Drive.NOTHING, Drive.LOW)
        self.times[f"{drop}: {what} to relay off"] = off - at
        self.check(f"{what} with the relay on: the pin drops", f"{off - at:.1f} s", True)
        lane.drives(site.READY, Drive.NOTHING, Drive.LOW)
        self.times[f"{drop}: {what} to READY again"] = lane.ready() - at
        restarts = int(lane.service("NRestarts")["NRestarts"]) - int(served["NRestarts"])
        self.check("systemd starts it again", f"{restarts} restart", restarts == 1)
        cut = self.lane.until(
            lambda: len(self._aborted()) > before,
            "the passage that was cut short, at the collector",
        )
        self.check("the passage that was cut short is told", "aborted", cut)
        verdict, _ = self._passage()
        self.check("then it works again", self._words(verdict), verdict["decision"] == "granted")

    def _aborted(self) -> list[Event]:
        return [e for e in self.lane.told("passage") if e.data["outcome"] == "aborted"]

    def _touch(self, finger: str, *, until: Callable[[], bool]) -> None:
        """Lay a finger on the glass as often as it is asked for."""
        self.module.glass.expect(*(Touch(finger, after_polls=2) for _ in range(4)))
        self.lane.until(until, f"an answer to the finger of {finger}")
        self.module.glass.clear()

    @staticmethod
    def _words(verdict: dict[str, Any]) -> str:
        checked = [f"{each['modality']} {each['reason']}" for each in verdict.get("biometrics", ())]
        return ", ".join([verdict["reason"], *checked])


def _quoted(text: str) -> str:
    """Return a text as one word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
