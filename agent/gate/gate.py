"""The gate's I/O thread: relay, lamps, buzzer, ready output, and every input of the gate.

Rules:
- One thread owns the pins; everybody else asks through a bounded queue and is served within one
  poll. Nothing here waits for the controller, a camera or an inference.
- Fire wins within one poll: the relays are on before anything else is looked at, and stay on until
  the loop has been whole for a second. The fire release itself belongs in the gate's hardware.
- A press of the release opens here at once, even when the controller hangs.
- A relay is on for a grant (limited here), a release (limited here), free passage or fire; never
  otherwise.
- At start, exit and after any error every output is inactive; at exit the lines become inputs,
  which is the wiring's safe state. The ready output drops with the thread: fault is the dark state.
- `tick(now)` is one poll, so that tests drive it with a clock of their own.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from agent.gate.inputs import Inputs
from agent.gate.relay import Relay
from agent.gate.signals import Player
from agent.passage.events import FireChanged, GateFault, InputEvent, ReleasePressed
from agent.passage.types import Direction, Signal
from agent.settings.model import GateConfig, GpioConfig
from hal.errors import DeviceFault
from hal.gpio import Gpio

__all__ = ["CardOutput", "Gate", "GateHealth", "make_safe", "outputs"]

_LOG = logging.getLogger(__name__)
_QUEUE = 64
_UNTOLD = 256

Request = Callable[[float], None]


class CardOutput(Protocol):
    """An access controller that takes the decision in the relay's place (Wiegand, OSDP)."""

    def present(self, subject: str) -> None:
        """Hand over the number that stands for the subject; returns at once."""

    def poll(self) -> None:
        """Do this poll's share of the transmission."""

    def close(self) -> None:
        """Let go of the line."""


@dataclass(frozen=True, slots=True)
class GateHealth:
    """How the gate is, as one value.

    Attributes:
        alive: the I/O thread runs (or ticks are driven from outside).
        polls: polls done; the watchdog looks whether it grows.
        error: why the thread ended, empty while it lives.
        relay_on: any relay is on.
        fire, tamper, door_open: the inputs as believed.
    """

    alive: bool
    polls: int
    error: str
    relay_on: bool
    fire: bool
    tamper: bool
    door_open: bool


def outputs(settings: GpioConfig) -> dict[int, bool]:
    """Return every output pin with its inactive level."""
    lamps_off = settings.lamps_active == "low"
    relay_off = settings.relay_active == "low"
    pins = {pin: relay_off for pin in (settings.relay, settings.relay_out) if pin is not None}
    for pin in (settings.green, settings.red, settings.buzzer, settings.ready):
        if pin is not None:
            pins[pin] = lamps_off
    if settings.output.startswith("wiegand"):
        for pin in (settings.wiegand_d0, settings.wiegand_d1):
            if pin is not None:
                pins[pin] = True
    return pins


def make_safe(gpio: Gpio, settings: GpioConfig) -> tuple[int, ...]:
    """Drive every output inactive, then let go of the lines; return the pins.

    For `ExecStopPost`: after a SIGKILL the pins of a Raspberry Pi stay as they were.
    """
    pins = outputs(settings)
    try:
        for pin, level in pins.items():
            gpio.setup_output(pin, level=level)
    finally:
        gpio.close()
    return tuple(pins)


class Gate:
    """One gate's pins.

    Args:
        gpio: the driver, not yet set up; the gate closes it.
        settings: pins and polarity.
        timing: relay mode and width, opening time, direction.
        on_input: called in the gate's thread with every input event; must only hand it on, at
            once. Where it raises `queue.Full` the event is kept and offered again at the next poll.
        clock: monotonic seconds.
        card_output: takes grants in the relay's place; None for the relay.
    """

    def __init__(
        self,
        gpio: Gpio,
        settings: GpioConfig,
        timing: GateConfig,
        on_input: Callable[[InputEvent], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        card_output: CardOutput | None = None,
    ) -> None:
        self._gpio = gpio
        self._settings = settings
        self._timing = timing
        self._on_input = on_input
        self._clock = clock
        self._card_output = card_output
        # The C queues hand over without a lock in Python; the bound is kept in `_ask`.
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._inputs = Inputs(gpio, settings)
        self._player = Player()
        pulse_s = timing.pulse_ms / 1000 if timing.relay_mode == "pulse" else None
        limit_s = timing.passage_timeout_s
        self._relays = {settings.relay: Relay(limit_s=limit_s, pulse_s=pulse_s)}
        if settings.relay_out is not None:
            self._relays[settings.relay_out] = Relay(limit_s=limit_s, pulse_s=pulse_s)
        self._levels: dict[int, bool] = {}
        self._untold: deque[InputEvent] = deque(maxlen=_UNTOLD)
        self._ready = False
        self._free = False
        self._open = False
        self._polls = 0
        self._error = ""
        self.dead = threading.Event()
        """Set when the thread ended by an error; the daemon then stops."""

    # --- asked for by other threads

    def open(self, direction: Direction, seconds: float, subject: str = "") -> None:
        """Open one way; with a subject and a card output, the access controller decides instead."""

        def request(now: float) -> None:
            if subject and self._card_output is not None:
                try:
                    self._card_output.present(subject)
                except DeviceFault as error:
                    self._player.show(Signal.DENIED, now)
                    self._untold.append(GateFault(str(error)))
                return
            for pin in self._pins_for(direction):
                self._relays[pin].open(seconds, now)

        self._ask(request)

    def close(self) -> None:
        """End every opening; fire and free passage stay."""

        def request(_now: float) -> None:
            for relay in self._relays.values():
                relay.close()

        self._ask(request)

    def hold(self, held: bool) -> None:
        """Keep the gate open for free passage, or stop doing so."""

        def request(_now: float) -> None:
            self._free = held

        self._ask(request)

    def signal(self, signal: Signal) -> None:
        """Show a signal on the lamps and the buzzer."""
        # Lamps wait for the next poll: waking the thread now would only hold up the decision.
        self._ask(lambda now: self._player.show(signal, now), at_once=False)

    def ready(self, ready: bool) -> None:
        """Set the ready output: True is in order, False is a fault."""

        def request(_now: float) -> None:
            self._ready = ready

        self._ask(request)

    def health(self) -> GateHealth:
        """Return how the gate is."""
        return GateHealth(
            alive=self._open and not self.dead.is_set(),
            polls=self._polls,
            error=self._error,
            relay_on=any(
                self._levels.get(pin) == (self._settings.relay_active == "high")
                for pin in self._relays
            ),
            fire=self._inputs.active("fire"),
            tamper=self._inputs.active("tamper"),
            door_open=self._inputs.active("door"),
        )

    def _ask(self, request: Request, *, at_once: bool = True) -> None:
        """Queue a request.

        Raises:
            DeviceFault: the I/O thread is dead or does not serve its queue.
        """
        if self.dead.is_set():
            raise DeviceFault(f"the gate's I/O thread has ended: {self._error}")
        if self._requests.qsize() >= _QUEUE:
            raise DeviceFault("the gate's I/O thread does not serve its queue")
        self._requests.put(request)
        if at_once:
            self._wake.put(None)

    # --- life

    def setup(self) -> None:
        """Make every output inactive and every input an input; nothing moves.

        Raises:
            DeviceUnavailable: a line is not ours.
        """
        try:
            for pin, level in outputs(self._settings).items():
                self._gpio.setup_output(pin, level=level)
                self._levels[pin] = level
            self._inputs.setup()
        except BaseException:
            self._gpio.close()
            raise
        self._open = True

    def start(self) -> None:
        """Set up and run the thread."""
        self.setup()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and leave every pin safe; may be called twice."""
        self._stop.set()
        self._wake.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)
        self.safe()

    def safe(self) -> None:
        """Make every output inactive and let go of the lines; may be called twice."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            with contextlib.ExitStack() as last:
                if self._card_output is not None:
                    last.callback(self._card_output.close)
                last.callback(self._gpio.close)
                for pin, level in outputs(self._settings).items():
                    last.callback(self._gpio.write, pin, level=level)
                    self._levels[pin] = level

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _run(self) -> None:
        period = 1.0 / self._settings.poll_hz
        due = self._clock()
        while not self._stop.is_set():
            try:
                self.tick(self._clock())
            except Exception as error:  # noqa: BLE001 - whatever it is, the pins come first
                self._die(error)
                return
            now = self._clock()
            if now - due > period:
                due = now
            while due <= now:
                due += period
            # What was asked for meanwhile is served at once: a grant does not wait for the poll.
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=due - now)

    def _die(self, error: Exception) -> None:
        """Leave the pins safe, and let everybody know."""
        self._error = f"{type(error).__name__}: {error}"
        _LOG.error("gate I/O ended: %s", self._error)
        try:
            self.safe()
        except Exception:  # noqa: BLE001 - the thread ends here; the log is all that is left
            _LOG.exception("the pins could not be made safe")
        self.dead.set()
        self._untold.append(GateFault(f"gate I/O ended: {self._error}"))
        self._tell()

    # --- one poll

    def tick(self, now: float) -> None:
        """Read the inputs, serve the requests, write the outputs.

        Args:
            now: monotonic seconds.

        Raises:
            DeviceFault: a line cannot be read or written.
        """
        events = self._inputs.poll(now)
        for event in events:
            if isinstance(event, ReleasePressed):
                self._release(now)
            if isinstance(event, FireChanged):
                for relay in self._relays.values():
                    relay.close()
        self._drive_relays(now)
        self._serve(now)
        self._drive_relays(now)
        self._drive_lamps(now)
        if self._card_output is not None:
            self._card_output.poll()
        self._polls += 1
        self._untold.extend(events)
        self._tell()

    def _tell(self) -> None:
        """Hand on what was heard; a controller that stands still does not stop the gate."""
        while self._untold:
            try:
                self._on_input(self._untold[0])
            except queue.Full:
                return
            self._untold.popleft()

    def _serve(self, now: float) -> None:
        for _ in range(_QUEUE):
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            request(now)

    def _release(self, now: float) -> None:
        pins = tuple(self._relays)
        if self._timing.direction != "both":
            pins = self._pins_for(Direction(self._timing.direction))
        for pin in pins:
            self._relays[pin].open(self._timing.passage_timeout_s, now, renew=True)

    def _pins_for(self, direction: Direction) -> tuple[int, ...]:
        out = self._settings.relay_out
        if direction is Direction.OUT and out is not None:
            return (out,)
        return (self._settings.relay,)

    def _drive_relays(self, now: float) -> None:
        held = self._free or self._inputs.active("fire")
        active = self._settings.relay_active == "high"
        for pin, relay in self._relays.items():
            relay.held = held
            self._write(pin, relay.on(now) == active)

    def _drive_lamps(self, now: float) -> None:
        indication = self._player.indication(now)
        active = self._settings.lamps_active == "high"
        lamps = {
            self._settings.green: indication.green,
            self._settings.red: indication.red,
            self._settings.buzzer: indication.buzzer,
            self._settings.ready: self._ready,
        }
        for pin, lit in lamps.items():
            if pin is not None:
                self._write(pin, lit == active)

    def _write(self, pin: int, level: bool) -> None:
        if self._levels.get(pin) != level:
            self._gpio.write(pin, level=level)
            self._levels[pin] = level
