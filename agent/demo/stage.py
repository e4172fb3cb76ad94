"""One gate of the demo: the real daemon on a simulated camera, pins, barrier and people."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.controller.ports import JournaledEvent
from agent.controller.records import Trace
from agent.daemon.daemon import Daemon
from agent.daemon.gatekeeper import connector
from agent.daemon.hardware import Hardware, camera_settings
from agent.daemon.pins import wiring
from agent.demo.cast import FINGER_FAMILY, Figure, LivingScene
from agent.journal import events
from agent.passage.types import Phase
from agent.settings.load import load
from agent.settings.model import Config
from hal.camera import Rgb
from hal.recovery import RecoveringCamera
from hal.simulated.barrier import Barrier, Behaviour
from hal.simulated.camera import open_camera
from hal.simulated.fingerprint_script import Glass, Touch
from hal.simulated.pinboard import PinBoard
from hal.simulated.scene import Shown

__all__ = ["Stage", "StageError", "settings_text"]

REST_S = 20.0
REACH_POLLS = 5
"""How often the module finds its glass empty before a person's finger is there."""
REARM_MARGIN_S = 0.2


class StageError(RuntimeError):
    """The gate did not do in time what it had to."""


def settings_text(*, gate: str, profile: str, port: int, face: bool, finger_port: str = "") -> str:
    """Return a gate's settings, as an operator would write them.

    Args:
        gate: its name.
        profile: a shipped one, or a file beside the settings.
        port: the broker's.
        face: whether faces are compared.
        finger_port: serial port of the fingerprint module; empty for none.
    """
    text = f"""
state_dir = "{gate}"

[gate]
site = "demo"
gate = "{gate}"
profile = "{profile}"
passage_timeout_s = 2.0
biometric_timeout_s = 4.0
denial_s = 0.5

[[camera]]
driver = "simulated"
fps = 10

[gpio]
driver = "simulated"

[simulation]
pins_file = "{gate}.pins"

[trust]
directory = "trust"

[mqtt]
url = "mqtt://127.0.0.1:{port}"
version = "3.1.1"
keepalive_s = 5
"""
    if face:
        text += "\n[face]\nframes = 8\n"
    if finger_port:
        text += f'\n[finger]\nport = "{finger_port}"\nfamily = "{FINGER_FAMILY}"\nretries = 0\n'
    return text


class Stage:
    """A gate, what its camera sees, and who stands before it.

    Args:
        path: the gate's settings.
        seed: of the scene behind the phones.
        glass: of the gate's fingerprint module, where it has one.
    """

    def __init__(self, path: Path, *, seed: int, glass: Glass | None = None) -> None:
        self._glass = glass
        self.config: Config = load(path)
        self.name = self.config.gate.gate
        self.scene = LivingScene(seed)
        self.board = PinBoard(self.config.path(self.config.simulation.pins_file))
        self._cleared_at = time.monotonic()
        self.observed: queue.Queue[JournaledEvent] = queue.Queue()
        self.history: list[JournaledEvent] = []
        settings = camera_settings(self.config.camera[0])
        camera = RecoveringCamera(lambda: open_camera(settings, source=self.scene), settings.name)
        self.barrier = Barrier(self.board, wiring(self.config.gpio), reaction_s=0.2)
        hardware = Hardware((camera,), connector(self.config))
        self.daemon = Daemon(self.config, hardware, observe=self._observe)

    def start(self) -> None:
        """Open the gate's day."""
        self.barrier.start()
        self.daemon.start()

    def close(self) -> None:
        """End the gate's day."""
        self.daemon.shutdown()
        self.barrier.close()
        self.board.close()

    def show(self, things: Sequence[Shown] = (), figures: Sequence[Figure] = ()) -> None:
        """Put things before the camera; none clears the view."""
        self.scene.show(things, figures)
        self._cleared_at = time.monotonic()

    def touch(self, finger: str) -> None:
        """Let a finger come to the glass when it is asked for; an empty name for none."""
        if self._glass is None:
            return
        self._glass.clear()
        if finger:
            self._glass.expect(Touch(finger, after_polls=REACH_POLLS))

    def picture(self) -> Rgb:
        """Return what the camera sees now, (H, W, 3) uint8 RGB."""
        return self.scene.render(time.monotonic())

    def expect(self, behaviour: Behaviour) -> None:
        """Say what the next person does when the arm unlocks."""
        self.barrier.expect(behaviour)

    def decision(self, timeout_s: float) -> tuple[events.Decision, Trace | None]:
        """Wait for the next decision about a person.

        Raises:
            StageError: none came in time.
        """
        while True:
            seen = self._next(timeout_s, "decision")
            if isinstance(seen.event, events.Decision) and seen.event.decision != "annulled":
                return seen.event, seen.trace

    def outcome(self, timeout_s: float) -> str:
        """Wait for what became of a grant.

        Raises:
            StageError: nothing came in time.
        """
        while True:
            seen = self._next(timeout_s, "passage")
            if isinstance(seen.event, events.Passage):
                return seen.event.outcome

    def _next(self, timeout_s: float, what: str) -> JournaledEvent:
        try:
            return self.observed.get(timeout=timeout_s)
        except queue.Empty:
            raise StageError(f"{self.name}: no {what} within {timeout_s:g} s") from None

    def ready(self) -> None:
        """Wait until the gate would judge a code anew, and forget what was observed before.

        Raises:
            StageError: it does not come to rest.
        """
        rearmed = self._cleared_at + self.daemon.parts.controller.rules.rearm_s + REARM_MARGIN_S
        time.sleep(max(0.0, rearmed - time.monotonic()))
        self._until(
            lambda: self.daemon.parts.controller.state.phase is Phase.IDLE, "at rest", REST_S
        )
        while not self.observed.empty():
            self.observed.get_nowait()

    def quiet(self) -> None:
        """End the day's business: nothing more is decided or journaled after this.

        Raises:
            StageError: it does not come to rest.
        """
        self.show()
        self.ready()

    def until_relay(self, *, on: bool, since_ns: int) -> float:
        """Wait for the relay; return the milliseconds since then.

        Raises:
            StageError: it does not move.
        """
        pin = self.config.gpio.relay
        self._until(lambda: self.board.level(pin) is on, f"relay {'on' if on else 'off'}", 5.0)
        edges = [edge.at_ns for edge in self.board.edges() if edge.pin == pin]
        return (max(edges[-1], since_ns) - since_ns) / 1e6

    def nothing_decided(self, seconds: float) -> None:
        """Watch for so long that nobody is judged.

        Raises:
            StageError: somebody was.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                seen = self.observed.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(seen.event, events.Decision):
                raise StageError(f"{self.name}: judged somebody ({seen.event.reason})")

    def _until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                raise StageError(f"{self.name}: not {what} within {timeout_s:g} s")
            time.sleep(0.005)

    def _observe(self, journaled: JournaledEvent) -> None:
        self.history.append(journaled)
        self.observed.put(journaled)
