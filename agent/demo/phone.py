"""The demo with a real phone: a desk, its wallet, and a gate that looks through the webcam.

Rules:
- everything is the real thing: `idgate desk init` and `run` in a process of its own, gates that
  join by its link and fetch their trust from it, the real daemon; the pins and who walks are not;
- before a webcam there is one gate; where a file is played there are two that look at it: the one
  that the phone's code was made for opens, the other says that it was not;
- the phone needs this machine's address on its network; what a browser does not do under an address
  and an authority that nobody installed (passkeys, staying offline) is said, not hidden;
- at the end nothing stays but the folder that is named.
"""

from __future__ import annotations

import io
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from rich.console import Console

from agent.controller.ports import JournaledEvent
from agent.credential.model import Kind, Level
from agent.daemon.daemon import Daemon
from agent.daemon.gatekeeper import connector
from agent.daemon.hardware import Hardware, camera_settings, open_camera
from agent.daemon.pins import wiring
from agent.demo.eye import Eye
from agent.demo.stage import StageError
from agent.desk.desk import Desk, open_desk
from agent.desk.joining import Joining
from agent.desk.make import Plan, make_desk
from agent.desk.members import Members
from agent.desk.offers import Offer, Offers, OfferState, Purpose
from agent.desk.person import Person
from agent.fleet.join import join, read_link
from agent.journal import events
from agent.policy.load import load_profile
from agent.policy.needs import needs_of
from agent.settings.load import load
from agent.settings.write import to_toml
from agent.trust.update import update
from hal.camera import Camera
from hal.recovery import RecoveringCamera
from hal.simulated.barrier import Barrier, Behaviour
from hal.simulated.camera import open_camera as open_simulated
from hal.simulated.pinboard import PinBoard
from hal.simulated.sources import SceneSource

__all__ = ["Gate", "PhoneShow", "own_address", "settings_of"]

SITE: Final = "demo"
READY_S: Final = 30.0
DAY_S: Final = 86_400

_SETTINGS: Final = """
state_dir = "state"

[gate]
site = "my-site"
gate = "gate-1"
passage_timeout_s = 3.0
denial_s = 1.0

[gpio]
driver = "simulated"
release = false
fire = false
tamper = false

[trust]
refresh_s = 10

[simulation]
pins_file = "pins"
"""


class Gate:
    """A gate on the real daemon; its pins, and who walks, are not.

    Args:
        folder: with its settings; its name is the gate's.
        source: what a simulated camera sees; None opens the camera of the settings.
        tell: hears the gate's name and each event.
    """

    def __init__(
        self, folder: Path, source: SceneSource | None, tell: Callable[[str, JournaledEvent], None]
    ) -> None:
        self.name = folder.name
        config = load(folder / "config.toml")
        profile = load_profile(config.gate.profile, base_dir=Path(config.base_dir))
        self.needs = ",".join(needs_of(profile))
        self._board = PinBoard(config.path(config.simulation.pins_file))
        camera: Camera
        if source is None:
            camera = open_camera(config.camera[0], config)
        else:
            settings = camera_settings(config.camera[0])
            camera = RecoveringCamera(
                lambda: open_simulated(settings, source=source), settings.name
            )
        self._barrier = Barrier(self._board, wiring(config.gpio), reaction_s=0.2)
        hardware = Hardware((camera,), connector(config))
        self._daemon = Daemon(config, hardware, observe=lambda seen: self._observe(seen, tell))
        self._barrier.start()
        self._daemon.start()

    def close(self) -> None:
        """Stop it all."""
        self._daemon.shutdown()
        self._barrier.close()
        self._board.close()

    def _observe(self, seen: JournaledEvent, tell: Callable[[str, JournaledEvent], None]) -> None:
        if isinstance(seen.event, events.Decision) and seen.event.decision == "granted":
            self._barrier.expect(Behaviour.PASS)
        tell(self.name, seen)


@dataclass(frozen=True, slots=True)
class Told:
    """What a gate said."""

    gate: str
    decision: str
    reason: str


class PhoneShow:
    """The demo, from an empty folder on; a context manager.

    Args:
        directory: where everything goes.
        address: this machine's on the phone's network.
        eye: what the gates look through.
        console: where it is shown.
        port: of the staff's pages; the issuer and the wallet have the next two.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str,
        eye: Eye,
        console: Console,
        port: int = 8_443,
    ) -> None:
        self._directory = directory
        self._address = address
        self._eye = eye
        self._console = console
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._gates: list[Gate] = []
        self._desk: Desk | None = None
        self._news = threading.Condition()
        self._told: list[Told] = []

    def __enter__(self) -> Self:
        """Start it all.

        Raises:
            StageError: a part does not come up.
            ValueError, OSError: the folder or a port cannot be used.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def desk(self) -> Desk:
        """The desk, open beside its own process.

        Raises:
            StageError: it is not.
        """
        if self._desk is None:
            raise StageError("the desk is not open")
        return self._desk

    def close(self) -> None:
        """End everything; may be called twice."""
        while self._gates:
            self._gates.pop().close()
        if self._desk is not None:
            self._desk.close()
            self._desk = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def offer(self) -> Offer:
        """Make a member, and the offer of a basic card that the phone takes."""
        now = int(time.time())
        person = Person("Visitor", valid_until=now + 30 * DAY_S)
        member = Members(self.desk).add(person, "desk")
        return Offers(self.desk).create(
            member,
            purpose=Purpose.ISSUE,
            kind=Kind.LIBRARY_CARD,
            level=Level.BASIC,
            who="desk",
            transaction_code=False,
        )

    def state(self, offer: Offer) -> OfferState:
        """Return how far an offer is."""
        return Offers(self.desk).state(offer.id).state

    def place_link(self, gate: str) -> str:
        """Return the link by which the wallet makes codes for a gate, with what the gate asks."""
        needs = next(one.needs for one in self._gates if one.name == gate)
        return f"{self.desk.settings.web.wallet}/#place={SITE}%2F{gate}&need={needs}"

    def wait_for(self, count: int, timeout_s: float) -> list[Told]:
        """Wait until the gates have decided so often; return what they said so far."""
        with self._news:
            self._news.wait_for(lambda: len(self._told) >= count, timeout_s)
            return list(self._told)

    def play(self) -> None:
        """Lead the visitor through it, until the keyboard interrupts."""
        offer = self._show_offer()
        shown = 0
        placed = False
        while True:
            if not placed:
                state = self.state(offer)
                if state in (OfferState.EXPIRED, OfferState.LOCKED, OfferState.DEAD):
                    offer = self._show_offer()
                elif state is not OfferState.OPEN:
                    placed = True
                    self._show_place()
            for told in self.wait_for(shown + 1, 1.0)[shown:]:
                shown += 1
                colour = "green" if told.decision == "granted" else "red"
                self._console.print(
                    f"{datetime.now().astimezone():%H:%M:%S}  {told.gate:<6}"
                    f" [{colour}]{told.decision}[/{colour}]  {told.reason}"
                )

    # --- inside ----------------------------------------------------------------------------------

    def _start(self) -> None:
        folder = self._directory / "desk"
        plan = Plan(
            site=SITE,
            name="Demo Library",
            host="localhost",
            phones=self._address,
            port=self._port,
        )
        made = make_desk(
            folder, self._directory / "stick", plan, password=None, now=int(time.time())
        )
        self._process = _served(folder, self._directory / "desk.log")
        self._desk = open_desk(folder / "desk.toml")
        for name in self._eye.gates:
            self._gates.append(self._joined(name))
        self._console.print(f"desk             {self._desk.settings.web.staff} (this machine)")
        self._console.print(f"  first passkey  {made.link}", soft_wrap=True)
        self._console.print(f"wallet           {self._desk.settings.web.wallet}")
        self._console.print(f"gates            {', '.join(self._eye.gates)}")
        self._console.print(f"camera           {self._eye.words}", highlight=False, markup=False)

    def _joined(self, name: str) -> Gate:
        folder = self._directory / name
        folder.mkdir()
        (folder / "config.toml").write_text(settings_of(self._eye), encoding="utf-8")
        link = Joining(self.desk).invite_gate(name, '[gate]\nprofile = "library"', who="desk")
        joined = join(read_link(link.link), folder)
        update(joined.cache, joined.source, now=int(time.time()), ca=joined.ca)
        return Gate(folder, self._eye.source, self._hear)

    def _hear(self, gate: str, seen: JournaledEvent) -> None:
        if not isinstance(seen.event, events.Decision):
            return
        with self._news:
            self._told.append(Told(gate, str(seen.event.decision), str(seen.event.reason)))
            self._news.notify_all()

    def _show_offer(self) -> Offer:
        offer = self.offer()
        show = self._console.print
        show("\n[bold]1.[/bold] Scan this with the phone. Its browser warns of a certificate")
        show("   that it does not know: this demo's own. Go on; the wallet takes a card.")
        self._show_code(offer.wallet_link)
        show("   With an address and such a certificate a browser has no passkey and keeps no")
        show("   page offline: the wallet asks for a PIN. A real desk has a name and a")
        show("   certificate that phones know (\\[web] in desk.toml).")
        return offer

    def _show_place(self) -> None:
        show = self._console.print
        show("\n[bold]2.[/bold] The card is on the phone. Scan this, to make codes for a gate:")
        opens, *others = self._eye.gates
        self._show_code(self.place_link(opens))
        show(
            "[bold]3.[/bold] Make the phone bright, and hold its code before this machine's camera:"
        )
        show("   two hands away, then nearer or further until it is sharp.")
        show(f"   {opens} opens, once a code: every code is used up by the gate that it opened.")
        for other in others:
            show(f"   {other} says that the code is for another gate.")
        show("   The keyboard's interrupt (Ctrl-C) ends it.\n")

    def _show_code(self, link: str) -> None:
        import segno

        code = io.StringIO()
        segno.make(link, error="l", micro=False).terminal(code, compact=True)
        self._console.file.write(code.getvalue())
        self._console.print(f"   {link}", soft_wrap=True, highlight=False)


def settings_of(eye: Eye) -> str:
    """Return the settings of a gate that looks through an eye; the desk says who it is."""
    camera = to_toml({"camera": eye.table}).replace("[camera]", "[[camera]]", 1)
    return f"{_SETTINGS}\n{camera}"


def own_address() -> str:
    """Return this machine's address on the network that leads outwards; loopback where none does.

    No packet is sent: connecting a datagram socket only chooses an address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _served(folder: Path, log: Path) -> subprocess.Popen[str]:
    """Start the desk in a process of its own, and wait until it is ready."""
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "agent.cli", "desk", "run", str(folder)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # the keyboard's interrupt is this process's business
        )
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        assert process.stdout is not None
        said = select.select([process.stdout], [], [], 0.2)[0]
        if said and process.stdout.readline().startswith("ready"):
            return process
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    lines = log.read_text(errors="replace").splitlines()
    why = lines[-1] if lines else "it said nothing"
    raise StageError(f"the desk did not start: {why}")
