"""What is done at the emulated gate, chapter by chapter, and what must come of it.

Decisions are read where the fleet reads them, at the collector; lamps, relay and times are seen from
outside. A chapter leaves the gate as it found it: at rest, with nobody in view.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from agent.credential.model import Kind
from hal.simulated.fingerprint_script import Touch
from tests.pi import premises
from tests.pi.lane import PATIENCE_S, Failed, finger_reference
from tests.pi.outside import TimeServer
from tests.pi.pins import Drive
from tests.pi.story import Story, words

FINGER, OTHER_FINGER = "ruth", "somebody else"
_JOURNAL = """
import json, sqlite3
database = sqlite3.connect("file:/var/lib/idgate/journal.sqlite?mode=ro", uri=True)
for row in database.execute("SELECT boot.boot_id, seq, type, data FROM event JOIN boot "
                            "ON boot.number = event.boot ORDER BY boot, seq"):
    print(json.dumps([*row[:3], json.loads(row[3])]))
"""


def boot(story: Story) -> None:
    """From the first instruction to a gate that is ready: nothing moves."""
    lane = story.lane
    lane.console.log_in(2 * PATIENCE_S)
    story.times["boot: first instruction to a shell"] = time.monotonic() - story.began
    ready = lane.ready()
    story.times["boot: first instruction to READY"] = ready - story.began
    told = lane.service("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    first, last = (int(value) / 1e6 for value in told.values())
    story.times["agent: process start to READY, by the guest's clock"] = abs(last - first)
    before = [change for change in lane.pins.changes if change.at < ready]
    driven = {change.pin for change in before if change.drive is Drive.HIGH} - {premises.GREEN}
    story.check(
        "no output but the green lamp is driven high before READY",
        f"driven high: {sorted(driven - {premises.READY}) or 'none'}",
        not driven - {premises.READY},
    )
    relay = [change.drive for change in before if change.pin == premises.RELAY]
    story.check(
        "the relay's pin is an input until the agent takes it, then low",
        " -> ".join(relay),
        relay[:1] == [Drive.NOTHING] and set(relay) <= {Drive.NOTHING, Drive.LOW},
    )


def no_time(story: Story) -> None:
    """A board without a battery-backed clock believes no dynamic code until it has the time."""
    lane = story.lane
    guest = int(lane.console.run("date +%s"))
    lane.refused(story.people.code())
    behind = time.time() - guest
    TimeServer()
    lane.console.run("systemctl restart systemd-timesyncd")
    synced = "[ -e /run/systemd/timesync/synchronized ]"
    lane.until(
        lambda: lane.console.run(f"{synced} && echo yes || sleep 1") == "yes",
        "the guest's clock is synchronised",
    )
    off = abs(float(lane.console.run("date +%s.%N")) - time.time())
    story.check(
        "a fresh code is refused while the clock was never set",
        f"guest {behind / 3600:.0f} h behind: {lane.next_verdict(0)['reason']}",
        lane.next_verdict(0)["reason"] == "clock_untrusted",
    )
    story.check("the clock is set by the time server", f"{off:.1f} s off", off < 2.0)
    story.times["clock: difference to this machine after it was set"] = off


def grant(story: Story) -> None:
    """A fresh code opens; the person walks; it closes."""
    lane = story.lane
    _wait_for_trust(story)
    verdict, code = story.passage()
    story.check("a fresh code is granted", words(verdict), verdict["decision"] == "granted")
    passed = story.lane.until(lambda: lane.told("passage"), "the passage at the collector")
    outcome = passed[-1].data["outcome"]
    story.check("the walk through the beam ends it", outcome, outcome == "passed")
    story.used = code


def denials(story: Story) -> None:
    """Codes that must not open."""
    fresh = story.people.code
    for what, code, wanted in (
        ("the same code once more", story.used, "replayed"),
        ("a code made two minutes ago", fresh(age_s=120), "stale"),
        (
            "a fresh code of a phone without the key",
            fresh(borrowed=True),
            "bad_holder_signature",
        ),
        ("a code of an unknown issuer", fresh(issuer=story.people.stranger), "unknown_issuer"),
    ):
        before = len(story.lane.verdicts())
        story.lane.refused(code)
        reason = story.lane.next_verdict(before)["reason"]
        story.check(f"denied: {what}", reason, reason == wanted)


def fire(story: Story) -> None:
    """The loop opens: the relay holds the gate open and nobody is checked, until it is whole."""
    lane, pins = story.lane, story.lane.pins
    before = len(lane.verdicts())
    at = time.monotonic()
    pins.set_input(premises.FIRE, level=True)
    story.times["fire: loop open to relay on"] = lane.drives(premises.RELAY, Drive.HIGH) - at
    lane.show(story.people.code())
    modes = lane.until(
        lambda: [e for e in lane.told("mode") if e.data.get("mode") == "fire"],
        "the fire at the collector",
    )
    story.check("the fleet is told of the fire", json.dumps(modes[-1].data), bool(modes))
    held = pins.drive(premises.RELAY) is Drive.HIGH
    story.check("the relay is held on", "on" if held else "off", held)
    lane.show()
    at = time.monotonic()
    pins.set_input(premises.FIRE, level=False)
    story.times["fire: loop whole to relay off"] = lane.drives(premises.RELAY, Drive.LOW) - at
    checked = len(lane.verdicts()) - before
    story.check("nobody is checked meanwhile", f"{checked} decisions on codes", not checked)
    verdict, _ = story.passage()
    story.check("then it works again", words(verdict), verdict["decision"] == "granted")


def contacts(story: Story) -> None:
    """The release button opens without a code; an open housing is told and opens nothing."""
    lane, pins = story.lane, story.lane.pins
    pins.set_input(premises.TAMPER, level=True)
    lane.until(lambda: [e for e in lane.told("tamper") if e.data["active"]], "the open housing")
    pins.set_input(premises.TAMPER, level=False)
    lane.until(lambda: [e for e in lane.told("tamper") if not e.data["active"]], "the closed one")
    story.check("an opened housing is told to the fleet, and its end", "both", True)
    at = time.monotonic()
    pins.set_input(premises.RELEASE, level=False)
    story.times["release: pressed to relay on"] = lane.drives(premises.RELAY, Drive.HIGH) - at
    pins.set_input(premises.RELEASE, level=True)
    lane.walk()
    reasons = lane.until(
        lambda: [
            e.data["reason"] for e in lane.told("decision") if e.data.get("source") == "release"
        ],
        "the release at the collector",
    )
    story.check("the release button opens", reasons[-1], reasons == ["manual_release"])


def no_network(story: Story) -> None:
    """The cable is out: the gate decides as before, and tells the fleet afterwards."""
    lane = story.lane
    before = len(lane.verdicts())
    lane.bring(story.people.code())
    story.board.execute("set_link", name="net0", up=False)
    lane.hold_up()
    lane.drives(premises.RELAY, Drive.HIGH)
    lane.walk()
    unheard = len(lane.verdicts()) == before
    story.board.execute("set_link", name="net0", up=True)
    verdict = lane.next_verdict(before)
    story.check(
        "a grant without a network reaches the collector later",
        f"{'unheard of before, ' if unheard else 'known before the cable was in, '}"
        f"then {verdict['decision']}",
        unheard and verdict["decision"] == "granted",
    )
    lane.show()


def killed(story: Story) -> None:
    """SIGKILL with the relay on: the gate closes, and comes back."""
    _die(story, "KILL", "killed", "killed")


def killed_in_an_alarm(story: Story) -> None:
    """SIGKILL in the middle of a fire: the gate stays open, and closes when the loop is whole."""
    lane, pins = story.lane, story.lane.pins
    pins.set_input(premises.FIRE, level=True)
    lane.drives(premises.RELAY, Drive.HIGH)
    served = lane.service("MainPID")
    at = time.monotonic()
    lane.console.run(f"kill -KILL {served['MainPID']}")
    lane.drives(premises.READY, Drive.NOTHING, Drive.LOW)
    again = lane.ready() - at
    falls = [
        change for change in pins.changes
        if change.pin == premises.RELAY and change.at > at and change.drive is not Drive.HIGH
    ]  # fmt: skip
    story.check(
        "the gate stays open while its daemon dies and comes back",
        f"{len(falls)} falls in {again:.0f} s",
        not falls,
    )
    pins.set_input(premises.FIRE, level=False)
    lane.drives(premises.RELAY, Drive.LOW)
    lane.console.run("systemctl stop idgate")
    at = time.monotonic()
    pins.set_input(premises.FIRE, level=True)
    story.times["fire with the daemon stopped: loop open to relay on"] = (
        lane.drives(premises.RELAY, Drive.HIGH) - at
    )
    pins.set_input(premises.FIRE, level=False)
    lane.drives(premises.RELAY, Drive.LOW)
    lane.console.run("systemctl start idgate", timeout_s=PATIENCE_S)
    lane.ready()
    verdict, _ = story.passage()
    story.check("then it works again", words(verdict), verdict["decision"] == "granted")


def gatekeeper_killed(story: Story) -> None:
    """SIGKILL for the gatekeeper with the relay on: its unit drops the pin, and it comes back."""
    lane = story.lane
    lane.let_in(story.people.code())
    served = lane.service("MainPID", "NRestarts", unit="idgate-gatekeeper")
    kib = lane.console.run(f"grep VmRSS /proc/{served['MainPID']}/status").split()[1]
    story.check("the gatekeeper's memory", f"{int(kib) / 1024:.1f} MiB", int(kib) < 20 * 1024)
    at = time.monotonic()
    lane.console.run(f"kill -KILL {served['MainPID']}")
    off = lane.drives(premises.RELAY, Drive.NOTHING, Drive.LOW)
    story.times["gatekeeper killed: to relay off"] = off - at
    lane.until(
        lambda: (
            lane.service("NRestarts", unit="idgate-gatekeeper")["NRestarts"] != served["NRestarts"]
        ),
        "a new gatekeeper",
    )
    lane.walk()
    lane.show()
    lane.drives(premises.READY, Drive.NOTHING, Drive.LOW)
    story.times["gatekeeper killed: to READY again"] = lane.ready() - at
    verdict, _ = story.passage()
    story.check("then it works again", words(verdict), verdict["decision"] == "granted")


def hung(story: Story) -> None:
    """SIGSTOP with the relay on: the gate closes, the watchdog ends it, it comes back."""
    _die(story, "STOP", "stopped still", "watchdog")
    said = story.lane.console.run(
        "journalctl -u idgate -o cat --no-pager | grep -ci watchdog", check=False
    )
    story.check("systemd says that its watchdog did it", f"{said} lines", int(said) > 0)


def power_cut(story: Story) -> None:
    """The plug is pulled with the relay on: nothing moves until the gate is ready again."""
    lane, pins = story.lane, story.lane.pins
    cut_short = len(story.aborted())
    code = story.people.code()
    lane.let_in(code)
    heard = lane.console.heard()
    at = time.monotonic()
    story.board.cut_power()
    off = lane.drives(premises.RELAY, Drive.NOTHING)
    lane.rest()
    lane.console.log_in(2 * PATIENCE_S, since=heard)
    story.times["power cut: power back to READY"] = lane.ready() - at
    rises = len(pins.rises(premises.RELAY, off))
    story.check("nothing moves while it starts again", f"{rises} rises", not rises)
    _wait_for_trust(story)
    lane.until(lambda: len(story.aborted()) > cut_short, "the passage that was cut short")
    story.check("the passage that was cut short is told", "aborted", True)
    before = len(lane.verdicts())
    lane.refused(code)
    reason = lane.next_verdict(before)["reason"]
    story.check("the code that was in use opens nothing", reason, reason in {"replayed", "stale"})
    verdict, _ = story.passage()
    story.check("then it works again", words(verdict), verdict["decision"] == "granted")


def fit_module(story: Story) -> None:
    """An installer fits the module on the UART and pairs it, with the documented commands."""
    lane, run = story.lane, story.lane.console.run
    stopped = time.monotonic()
    run("systemctl stop idgate")
    lane.drives(premises.READY, Drive.LOW)
    story.check(
        "with the daemon stopped no output is driven high",
        ", ".join(f"GPIO{pin} {lane.pins.drive(pin)}" for pin in lane.pins.watched),
        all(lane.pins.drive(pin) is not Drive.HIGH for pin in lane.pins.watched),
    )
    for text, path in (
        (premises.FINGER_SETTINGS, "config.toml"),
        (premises.PROFILE_FINGER, "pilot.toml"),
    ):
        into = ">>" if path == "config.toml" else ">"
        run(f"printf %s {_quoted(text)} {into} /etc/idgate/{path}")
    said = run(
        "cd / && runuser -u idgate -- idgate finger pair --password "
        "--config /etc/idgate/config.toml",
        timeout_s=PATIENCE_S,
    )
    story.check("the module is paired over /dev/ttyAMA0", said.splitlines()[-1], "paired" in said)
    said = run(
        "cd / && idgate doctor --as-service --config /etc/idgate/config.toml; echo exit $?",
        timeout_s=PATIENCE_S,
    )
    story.check(
        "the doctor, inside the service's sandbox, finds nothing wrong",
        _summary(said),
        said.endswith("exit 0"),
    )
    run("systemctl start idgate", timeout_s=PATIENCE_S)
    story.times["finger module: stop, pairing, doctor and start"] = lane.ready() - stopped


def finger(story: Story) -> None:
    """An upgraded identity is asked for its finger."""
    lane = story.lane
    reference = finger_reference(FINGER)
    before = len(lane.verdicts())
    shown = lane.show(story.people.code(finger=reference))
    _touch(story, OTHER_FINGER, until=lambda: bool(lane.pins.rises(premises.RED, shown)))
    lane.show()
    verdict = lane.next_verdict(before)
    story.check("another finger", verdict["reason"], verdict["reason"] == "finger_mismatch")
    lane.drives(premises.RED, Drive.LOW)
    before = len(lane.verdicts())
    shown = lane.show(story.people.code(finger=reference))
    _touch(story, FINGER, until=lambda: bool(lane.pins.rises(premises.RELAY, shown)))
    lane.walk()
    lane.show()
    verdict = lane.next_verdict(before)
    story.check("the finger in the credential", words(verdict), verdict["decision"] == "granted")
    story.times["finger: check by the agent's clock"] = verdict["stages_ms"]["finger"] / 1e3


def exact(story: Story) -> None:
    """What the gate's journal holds is what the collector has, row by row."""
    rows = [
        json.loads(line)
        for line in story.lane.console.run(f"python3 -c {_quoted(_JOURNAL)}").splitlines()
    ]

    def same() -> bool:
        there = {(e.boot_id, e.seq): [e.type, e.data] for e in story.lane.fleet.events()}
        return there == {(boot, seq): [kind, data] for boot, seq, kind, data in rows}

    try:
        story.lane.until(same, "every row of the journal at the collector")
        good = True
    except Failed:
        good = False
    boots = len({row[0] for row in rows})
    story.check(
        "every row of the journal is at the collector, exactly",
        f"{len(rows)} rows of {boots} runs, {len(story.lane.fleet.events())} collected",
        good and len(rows) > 0,
    )


def power_off(story: Story) -> None:
    """Shutting down moves nothing."""
    story.lane.console.send("systemctl poweroff")
    story.lane.drives(premises.READY, Drive.NOTHING, Drive.LOW)
    off = story.board.wait_off(PATIENCE_S)
    story.check("the board shuts down", "off" if off else "still on", off)


def _die(story: Story, signal: str, what: str, drop: str) -> None:
    lane = story.lane
    code = story.people.code()
    served = lane.service("MainPID", "NRestarts")
    before = len(story.aborted())
    lane.let_in(code)
    at = time.monotonic()
    lane.console.run(f"kill -{signal} {served['MainPID']}")
    off = lane.drives(premises.RELAY, Drive.NOTHING, Drive.LOW)
    # An emulated processor keeps a daemon silent for longer than the gatekeeper waits for it.
    said = f"{off - at:.1f} s" if off >= at else "before it: the daemon had been silent for 0.4 s"
    if off >= at:
        story.times[f"{drop}: {what} to relay off"] = off - at
    story.check(f"{what} with the relay on: the gate closes", said, True)
    lane.drives(premises.READY, Drive.NOTHING, Drive.LOW)
    story.times[f"{drop}: {what} to READY again"] = lane.ready() - at
    restarts = int(lane.service("NRestarts")["NRestarts"]) - int(served["NRestarts"])
    story.check("systemd starts it again", f"{restarts} restart", restarts == 1)
    cut = story.lane.until(
        lambda: len(story.aborted()) > before,
        "the passage that was cut short, at the collector",
    )
    story.check("the passage that was cut short is told", "aborted", cut)
    verdict, _ = story.passage()
    story.check("then it works again", words(verdict), verdict["decision"] == "granted")


def _wait_for_trust(story: Story) -> None:
    """Show codes as a person would who tries again, until the agent believes the time."""
    tries = 0
    while True:
        tries += 1
        before = len(story.lane.verdicts())
        story.lane.show(story.people.code(kind=Kind.DRIVING_LICENCE))
        reason = story.lane.next_verdict(before)["reason"]
        story.lane.show()
        if reason != "clock_untrusted":
            return
        if tries == 20:
            raise Failed("the agent does not believe the clock that the time server set")


def _touch(story: Story, finger: str, *, until: Callable[[], bool]) -> None:
    """Lay a finger on the glass as often as it is asked for."""
    story.module.glass.expect(*(Touch(finger, after_polls=2) for _ in range(4)))
    story.lane.until(until, f"an answer to the finger of {finger}")
    story.module.glass.clear()


def _summary(said: str) -> str:
    """Return what a doctor said in one line: how much is good, and what is not."""
    lines = said.splitlines()
    good = [line for line in lines[:-1] if line.split()[:1] == ["ok"]]
    other = [line for line in lines[:-1] if line.strip() and line not in good]
    return "; ".join([f"{len(good)} ok", *other])


def _quoted(text: str) -> str:
    """Return a text as one word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


CHAPTERS: tuple[tuple[str, int, Callable[[Story], None]], ...] = (
    ("boot", 0, boot),
    ("no time yet", 0, no_time),
    ("grant", 1, grant),
    ("denials", 0, denials),
    ("fire", 2, fire),
    ("contacts", 1, contacts),
    ("no network", 1, no_network),
    ("killed", 2, killed),
    ("killed in an alarm", 3, killed_in_an_alarm),
    ("gatekeeper killed", 2, gatekeeper_killed),
    ("hung", 2, hung),
    ("power cut", 2, power_cut),
    ("finger module", 0, fit_module),
    ("finger", 1, finger),
    ("fleet", 0, exact),
    ("power off", 0, power_off),
)
"""Title, how often the relay must rise, and what happens."""
