"""Plays the day and shows it: a table that grows, a progress line, pictures, and the reckoning."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.daemon.pins import tracks
from agent.demo.alarm import killed_in_an_alarm
from agent.demo.cast import FINGER_FAMILY, Cast, load_cast
from agent.demo.day import LIBRARY, RAILWAY, Act, Played, acts, fire_drill, play
from agent.demo.fleet import Fleet, Row
from agent.demo.network import Cable, EmbeddedBroker, Loop
from agent.demo.people import People
from agent.demo.pictures import annotate
from agent.demo.stage import Stage, StageError, settings_text
from agent.journal import events
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_script import Script
from hal.simulated.timeline import draw

__all__ = ["Show", "Summary"]

DELIVERY_S = 20.0
PAUSE_S = 0.8
COLUMNS = (
    ("time", 8), ("gate", 8), ("shown", 27), ("decision", 9), ("reason", 21), ("then", 9),
    ("decode", 7), ("verify", 7), ("person", 7), ("commit", 7), ("total", 8),
)  # fmt: skip


@dataclass(slots=True)
class Summary:
    """What was decided, journaled and received; the demo is right when they agree.

    Attributes:
        decided: events by their names, as the gates' deciding threads told them.
        journaled: events in the gates' journals on the disk.
        received: events in the collector's database.
        wrong: acts that did not go as the script says.
    """

    decided: set[Row] = field(default_factory=set)
    journaled: set[Row] = field(default_factory=set)
    received: set[Row] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether everything that was decided is in both places, and went by the script."""
        return (
            not self.wrong
            and self.decided <= self.journaled
            and self.journaled == self.received
            and bool(self.decided)
        )


class Show:
    """The demo, from opening to the reckoning.

    Args:
        directory: where state, pictures and the collector's database go.
        fast: no pauses for the eye.
        broker: mqtt:// URL of a real broker; empty for the embedded one.
        console: where it is shown.
    """

    def __init__(self, directory: Path, *, fast: bool, broker: str, console: Console) -> None:
        self._directory = directory
        self._fast = fast
        self._broker = broker
        self._console = console
        self._played: list[Played] = []
        self._reckoning = Summary()

    def run(self) -> Summary:
        """Play the day.

        Raises:
            StageError: a gate stood still.
        """
        # A terminated demo must still close its gates.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ExitStack() as stack:
            self._day(stack)
        return self._reckoning

    def _day(self, stack: ExitStack) -> None:
        loop = Loop()
        stack.callback(loop.close)
        host, port, shared = self._open_broker(loop, stack)
        cable = Cable(loop, host, port)
        stack.callback(cable.close)
        fleet = Fleet(host, port, self._directory / "collector.sqlite", shared=shared)
        fleet.start()
        stack.callback(fleet.close)
        cast = load_cast(int(time.time()), pull=cable.pull, plug=cable.plug)
        stages = self._open_gates(cast.people, cable.port, stack)
        self._play_all(cast, stages)
        self._collect(stages, fleet)

    def _open_broker(self, loop: Loop, stack: ExitStack) -> tuple[str, int, bool]:
        if self._broker:
            url = urlsplit(self._broker)
            if url.scheme != "mqtt" or not url.hostname:
                raise ValueError(f"--broker {self._broker}: mqtt://HOST[:PORT] is needed")
            return url.hostname, url.port or 1883, True
        port = _free_port()
        stack.callback(EmbeddedBroker(loop, port).close)
        return "127.0.0.1", port, False

    def _open_gates(self, people: People, port: int, stack: ExitStack) -> dict[str, Stage]:
        people.write_trust(self._directory / "trust")
        stages = {}
        for seed, (gate, profile, face) in enumerate(
            ((LIBRARY, "library", False), (RAILWAY, self._write_profile(), True)), 1
        ):
            path = self._directory / f"{gate}.toml"
            module = self._fit_module(stack) if face else None
            path.write_text(
                settings_text(
                    gate=gate, profile=profile, port=port, face=face,
                    finger_port=module.open_pty() if module else "",
                )
            )  # fmt: skip
            stage = Stage(path, seed=seed, glass=module.glass if module else None)
            stack.callback(stage.close)
            stage.start()
            stages[gate] = stage
        return stages

    def _write_profile(self) -> str:
        """Write the railway's profile, with face or finger asked; return the file's name."""
        text = resources.files("agent.policy.profiles").joinpath("railway.toml").read_text("utf-8")
        path = self._directory / "turnstile.toml"
        path.write_text(text.replace('biometric = "face"', 'biometric = "either"'))
        return path.name

    def _fit_module(self, stack: ExitStack) -> SimulatedFingerprint:
        module = SimulatedFingerprint(Script(variant=FINGER_FAMILY))
        stack.callback(module.close)
        return module

    # -- the day -------------------------------------------------------------------------------

    def _play_all(self, cast: Cast, stages: dict[str, Stage]) -> None:
        script = acts(cast)
        head = "  ".join(f"{name:<{width}}" for name, width in COLUMNS)
        self._console.print(f"[bold]{head}[/bold]", highlight=False)
        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=self._console, transient=True,
        )  # fmt: skip
        with progress:
            task = progress.add_task("the day", total=len(script) + 1)
            for act in script:
                progress.update(task, description=f"{act.gate}: {act.title}")
                self._play_one(act, stages[act.gate], cast)
                progress.advance(task)
            progress.update(task, description="fire alarm")
            self._fire(stages[RAILWAY], cast)
            progress.advance(task)

    def _play_one(self, act: Act, stage: Stage, cast: Cast) -> None:
        stage.ready()
        try:
            played = play(act, stage, cast)
        except StageError as error:
            self._reckoning.wrong.append(f"{act.title}: {error}")
            self._console.print(f"[red]{act.gate}: {act.title}: {error}[/red]", highlight=False)
            stage.show()
            return
        self._keep(played, stage)
        stage.show()
        if not self._fast:
            time.sleep(PAUSE_S)

    def _keep(self, played: Played, stage: Stage) -> None:
        self._played.append(played)
        decision = played.decision
        number = len(self._played)
        granted = decision.decision == "granted"
        title = f"{stage.name}: {played.act.title} - {decision.decision} ({decision.reason})"
        annotate(
            stage.picture(),
            self._pictures() / f"{number:02d}-{stage.name}-{decision.reason}.png",
            granted=granted,
            title=title,
            corners=played.corners,
        )
        if granted:
            draw(
                stage.board.edges(),
                tracks(stage.config.gpio),
                begin_ns=played.started_ns,
                end_ns=played.ended_ns + 500_000_000,
                title=title,
            ).save(self._pictures() / f"{number:02d}-{stage.name}-pins.png")
        self._row(played)
        if not played.as_expected:
            self._reckoning.wrong.append(
                f"{played.act.title}: {decision.reason}/{played.outcome}, "
                f"not {played.act.reason}/{played.act.outcome}"
            )

    def _row(self, played: Played) -> None:
        decision, ms = played.decision, played.stages_ms
        cells = [
            datetime.now().astimezone().strftime("%H:%M:%S"),
            played.act.gate,
            played.act.title,
            decision.decision,
            str(decision.reason),
            played.outcome or "-",
            _ms(ms.get("decode")),
            _ms(_sum(ms, "verify", "policy")),
            _ms(_sum(ms, "face", "finger")),
            _ms(ms.get("commit")),
            _ms(ms.get("total", decision.total_ms)),
        ]
        line = "  ".join(
            f"{cell:>{width}}" if index > 5 else f"{cell:<{width}}"
            for index, (cell, (_, width)) in enumerate(zip(cells, COLUMNS, strict=True))
        )
        colour = "green" if decision.decision == "granted" else "yellow"
        mark = "" if played.as_expected else "  [red]unexpected[/red]"
        self._console.print(f"[{colour}]{line}[/{colour}]{mark}", highlight=False)

    def _fire(self, stage: Stage, cast: Cast) -> None:
        """Raise the alarm: the gate must open at once, judge nobody, and serve again after it."""
        stage.ready()
        self._drill(stage.name, lambda: fire_drill(stage, cast))
        self._drill("alarm", lambda: killed_in_an_alarm(self._directory))

    def _drill(self, name: str, drill: Callable[[], list[str]]) -> None:
        try:
            notes = drill()
        except StageError as error:
            self._reckoning.wrong.append(f"fire alarm: {error}")
            notes = [f"[red]{error}[/red]"]
        for note in notes:
            now = datetime.now().astimezone().strftime("%H:%M:%S")
            self._console.print(f"{now}  {name:<8}  {note}", highlight=False)

    def _pictures(self) -> Path:
        folder = self._directory / "pictures"
        folder.mkdir(exist_ok=True)
        return folder

    # -- the reckoning -------------------------------------------------------------------------

    def _collect(self, stages: dict[str, Stage], fleet: Fleet) -> None:
        for stage in stages.values():
            stage.quiet()
        for stage in stages.values():
            self._reckoning.decided |= {
                (stage.name, stage.daemon.parts.journal.boot_id, seen.seq) for seen in stage.history
            }
        self._reckoning.journaled = {row for stage in stages.values() for row in _journaled(stage)}
        fleet.wait_for(self._reckoning.journaled, DELIVERY_S)
        self._reckoning.received = fleet.received()
        # The gates' own parting words are not part of the day.
        self._summary(stages)

    def _summary(self, stages: dict[str, Stage]) -> None:
        rec = self._reckoning
        kinds = Counter(
            f"{seen.event.decision}"
            for stage in stages.values()
            for seen in stage.history
            if isinstance(seen.event, events.Decision)
        )
        show = self._console.print
        show()
        show(f"acts played      {len(self._played)}, {len(rec.wrong)} not as the script says")
        show(f"decisions        {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}")
        show(
            f"events           {len(rec.decided)} decided, {len(rec.journaled)} journaled, "
            f"{len(rec.received)} received; lost {len(rec.journaled - rec.received)}"
        )
        for wrong in rec.wrong:
            show(f"[red]unexpected       {wrong}[/red]")
        show(f"pictures         {self._directory / 'pictures'}", soft_wrap=True)
        show("your own phone   ./setup.sh demo --phone: a desk, a wallet, this machine's webcam")
        show("[green]everything agrees[/green]" if rec.agrees else "[red]they do not agree[/red]")


def _journaled(stage: Stage) -> set[Row]:
    """Read the journal from the disk, as somebody else would."""
    path = stage.config.state_path(stage.config.journal.path)
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = database.execute(
            "SELECT boot.boot_id, event.seq FROM event JOIN boot ON boot.number = event.boot"
        ).fetchall()
    finally:
        database.close()
    return {(stage.name, boot_id, seq) for boot_id, seq in rows}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _sum(stages: dict[str, float], *names: str) -> float | None:
    found = [stages[name] for name in names if name in stages]
    return sum(found) if found else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
