"""One gate of the demo: the real daemon on a simulated camera, pins, barrier and people."""

from __future__ import annotations

import queue
import time
from pathlib import Path

from hal.recovery import RecoveringCamera

from agent.config import Config, load
from agent.controller import Observation
from agent.daemon import Daemon
from agent.hardware import Hardware, camera_settings
from agent.passage_types import Phase
from agent.records import Trace
from agent.report import events
from hal.camera import Rgb
from hal.simulated.barrier import Barrier, Behaviour, Wiring
from hal.simulated.camera import open_camera
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from hal.simulated.scene import Scene, Shown

__all__ = ["Stage", "StageError", "settings_text"]

REST_S = 20.0


class StageError(RuntimeError):
    """The gate did not do in time what it had to."""


def settings_text(*, gate: str, profile: str, port: int, face: bool) -> str:
    """Return a gate's settings, as an operator would write them."""
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

[trust]
directory = "trust"

[mqtt]
url = "mqtt://127.0.0.1:{port}"
version = "3.1.1"
keepalive_s = 5
"""
    return text + ("\n[face]\n" if face else "")


class Stage:
    """A gate, what its camera sees, and who stands before it.

    Args:
        path: the gate's settings.
        seed: of the scene behind the phones.
    """

    def __init__(self, path: Path, *, seed: int) -> None:
        self.config: Config = load(path)
        self.name = self.config.gate.gate
        self.scene = Scene(seed=seed)
        self.board = PinBoard()
        self.observed: queue.Queue[Observation] = queue.Queue()
        self.history: list[Observation] = []
        settings = camera_settings(self.config.camera[0])
        camera = RecoveringCamera(lambda: open_camera(settings, source=self.scene), settings.name)
        gpio = self.config.gpio
        self.barrier = Barrier(
            self.board,
            Wiring(
                relay=gpio.relay,
                passage=gpio.passage,
                fire=gpio.fire,
                tamper=gpio.tamper,
                release=gpio.release,
            ),
            reaction_s=0.2,
        )
        hardware = Hardware((camera,), SimulatedGpio(board=self.board))
        self.daemon = Daemon(self.config, hardware, observe=self._observe)

    def start(self) -> None:
        """Open the gate's day."""
        self.barrier.start()
        self.daemon.start()

    def close(self) -> None:
        """End the gate's day."""
        self.daemon.shutdown()
        self.barrier.close()

    def show(self, *things: Shown) -> None:
        """Put things before the camera; none clears the view."""
        self.scene.show(*things)

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

    def _next(self, timeout_s: float, what: str) -> Observation:
        try:
            return self.observed.get(timeout=timeout_s)
        except queue.Empty:
            raise StageError(f"{self.name}: no {what} within {timeout_s:g} s") from None

    def rest(self) -> None:
        """Clear the view and wait until the gate would judge a code anew.

        Raises:
            StageError: it does not come to rest.
        """
        self.show()
        time.sleep(self.daemon.controller.rules.rearm_s + 0.25)
        until = time.monotonic() + REST_S
        while self.daemon.controller.state.phase is not Phase.IDLE:
            if time.monotonic() > until:
                raise StageError(f"{self.name}: still {self.daemon.controller.state.phase}")
            time.sleep(0.02)

    def _observe(self, observation: Observation) -> None:
        self.history.append(observation)
        self.observed.put(observation)
