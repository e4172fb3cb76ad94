"""The gate's lines over time: what every poll reads and writes. No socket, no thread, no clock.

Rules:
- Fire wins within one poll: the relays are on before anything else is looked at, and stay on until
  the loop has been whole for a second. The fire release itself belongs in the gate's hardware.
- A press of the release opens here at once, whoever decides or does not.
- A relay is on for a grant (limited here), a release (limited here), free passage or fire; never
  otherwise. Nothing that a decider asked for outlives its session: `abandon` closes, darkens the
  lamps and the ready output, and leaves what fire, a release and the kept mode ask for.
- Without a decider, or with a silent one, the key switch chooses the mode by itself.
- At start, exit and after any error every output is inactive; at exit the lines become inputs,
  which is the wiring's safe state. The ready output drops with the decider: dark is the fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from agent.gatekeeper.inputs import Inputs
from agent.gatekeeper.pinmap import PinMap, outputs
from agent.gatekeeper.relay import Relay
from agent.gatekeeper.signals import Player
from agent.gatekeeper.wire import STALE_S, Event, Request, WireError
from agent.gatekeeper.words import DIRECTIONS, MODES, SIGNALS, Direction, Mode, Signal
from hal.gpio import Gpio
from hal.wiegand import WiegandLines, encode

__all__ = ["Gatekeeper", "make_safe"]


def make_safe(gpio: Gpio, pin_map: PinMap) -> tuple[int, ...]:
    """Drive every output inactive, then let go of the lines; return the pins.

    After a SIGKILL the pins of a Raspberry Pi stay as they were.
    """
    pins = outputs(pin_map)
    try:
        for pin, level in pins.items():
            gpio.setup_output(pin, level=level)
    finally:
        gpio.close()
    return tuple(pins)


class Gatekeeper:
    """One gate's lines.

    Args:
        gpio: the driver, not yet set up; closed by `safe`.
        pin_map: which line is what, and the limits.
        mode: the mode that was kept.
        choose: told of the mode that was chosen, to keep it.
    """

    def __init__(
        self, gpio: Gpio, pin_map: PinMap, mode: Mode, choose: Callable[[Mode], None]
    ) -> None:
        self.pin_map = pin_map
        self.mode = mode
        self.attended = False
        """Whether a decider is there."""
        self.silent = False
        """Whether the decider that is there has been silent for too long."""
        self.unattended = 0
        """Presses of the release since a decider was there and spoke, at most 255."""
        self._gpio = gpio
        self._choose = choose
        self._inputs = Inputs(gpio, pin_map)
        self._player = Player()
        self._limit_s = pin_map.open_ms / 1000
        pulse_s = pin_map.pulse_ms / 1000 or None
        self._relays = {
            pin_map.pins[name]: Relay(limit_s=self._limit_s, pulse_s=pulse_s)
            for name in ("relay", "relay_out")
            if name in pin_map.pins
        }
        self._cards: WiegandLines | None = None
        if "wiegand_d0" in pin_map.pins:
            d0, d1 = pin_map.pins["wiegand_d0"], pin_map.pins["wiegand_d1"]
            self._cards = WiegandLines(gpio, d0, d1)
        self._levels: dict[int, bool] = {}
        self._ready = False
        self._free = False
        self._open = False
        self._key_moved = False

    # --- life

    def setup(self) -> None:
        """Make every output inactive and every input an input; nothing moves.

        Raises:
            DeviceUnavailable: a line is not ours.
        """
        try:
            for pin, level in outputs(self.pin_map).items():
                self._gpio.setup_output(pin, level=level)
                self._levels[pin] = level
            self._inputs.setup()
        except BaseException:
            self._gpio.close()
            raise
        self._open = True

    def safe(self) -> None:
        """Make every output inactive and let go of the lines; may be called twice."""
        if not self._open:
            return
        self._open = False
        with contextlib.ExitStack() as last:
            last.callback(self._gpio.close)
            for pin, level in outputs(self.pin_map).items():
                last.callback(self._gpio.write, pin, level=level)
                self._levels[pin] = level

    # --- the decider

    def attend(self) -> tuple[Event, ...]:
        """Begin a decider's session; return what it must know."""
        self.attended, self.silent = True, False
        self.unattended = 0
        self._player = Player()
        told = tuple(self._inputs.standing(key_moved=self._key_moved))
        self._key_moved = False
        return told

    def abandon(self) -> None:
        """End the session: the decider died, fell silent, or left."""
        self.attended = self._free = self._ready = False
        self._player = Player()
        for relay in self._relays.values():
            relay.orphan()

    def hush(self, silent: bool) -> None:
        """Note that the decider fell silent, or speaks again: nothing that it asked for goes on."""
        if silent and not self.silent:
            for relay in self._relays.values():
                relay.orphan()
        if self.attended and not silent:
            self.unattended = 0  # it hears of them after all
        self.silent = silent

    def ask(self, request: Request, now: float) -> None:
        """Do what the decider asks for.

        Args:
            request: of `open close hold signal ready card mode`; others do nothing here.
            now: monotonic seconds.

        Raises:
            WireError: a number in it stands for nothing.
        """
        try:
            match request.op:
                case "open":
                    self._open_for(DIRECTIONS[request.flag], request, now)
                case "close":
                    for relay in self._relays.values():
                        relay.close()
                case "hold":
                    self._free = bool(request.flag)
                case "signal":
                    self._player.show(SIGNALS[request.flag], now)
                case "ready":
                    self._ready = bool(request.flag)
                case "card" if self._cards is not None:
                    self._cards.send(encode(request.value, 26 if request.flag == 26 else 34))
                case "mode" if MODES[request.flag] is not Mode.FIRE:
                    self._choose_mode(MODES[request.flag])
        except (IndexError, ValueError):
            raise WireError(f"{request.op}: {request.flag} stands for nothing") from None

    # --- one poll

    def tick(self, now: float) -> list[Event]:
        """Read the inputs and write the outputs; return what happened.

        Args:
            now: monotonic seconds.

        Raises:
            DeviceFault: a line cannot be read or written.
        """
        events = self._inputs.poll(now)
        for event in events:
            if event.name == "release":
                self._release(now)
            elif event.name == "fire":
                for relay in self._relays.values():
                    relay.close()
            elif event.name == "key" and self._alone:
                self._key_moved = True
                self._choose_mode(MODES[event.which])
        self._drive_relays(now)
        self._drive_lamps(now)
        if self._cards is not None:
            self._cards.poll()
        return events

    @property
    def relay_on(self) -> bool:
        """Whether any relay is driven."""
        return any(self._levels.get(pin) == ("relay" in self.pin_map.high) for pin in self._relays)

    @property
    def levels(self) -> int:
        """Which inputs' levels are active now, not debounced: a bit each, as in `INPUTS`."""
        return self._inputs.levels

    def active(self, name: str) -> bool:
        """Return the believed state of an input."""
        return self._inputs.active(name)

    @property
    def _alone(self) -> bool:
        """Nobody acts on what happens now: a silent decider may never wake."""
        return not self.attended or self.silent

    def _choose_mode(self, mode: Mode) -> None:
        if mode is not self.mode:
            self.mode = mode
            self._choose(mode)

    def _open_for(self, direction: Direction, request: Request, now: float) -> None:
        if abs(now - request.value / 1e9) > STALE_S:
            return
        for pin in self._pins_for(direction):
            self._relays[pin].open(request.milliseconds / 1000, now)

    def _release(self, now: float) -> None:
        if self._alone:
            self.unattended = min(self.unattended + 1, 255)
        pins = tuple(self._relays)
        if self.pin_map.direction != "both":
            pins = self._pins_for(Direction(self.pin_map.direction))
        for pin in pins:
            self._relays[pin].open(self._limit_s, now, renew=True)

    def _pins_for(self, direction: Direction) -> tuple[int, ...]:
        pins = self.pin_map.pins
        if direction is Direction.OUT and "relay_out" in pins:
            return (pins["relay_out"],)
        return (pins["relay"],)

    def _drive_relays(self, now: float) -> None:
        asked = self._free and not self.silent
        held = asked or self.mode is Mode.FREE or self._inputs.active("fire")
        active = "relay" in self.pin_map.high
        for pin, relay in self._relays.items():
            relay.held = held
            self._write(pin, relay.on(now) == active)

    def _drive_lamps(self, now: float) -> None:
        if not self.attended:
            if self._inputs.active("fire"):
                self._player.show(Signal.FIRE, now)
            elif self.mode is Mode.FREE:
                self._player.show(Signal.FREE, now)
            else:
                self._player = Player()
        indication = self._player.indication(now)
        active = "lamps" in self.pin_map.high
        pins = self.pin_map.pins
        lamps = (
            ("green", indication.green), ("red", indication.red),
            ("buzzer", indication.buzzer), ("ready", self._ready and not self.silent),
        )  # fmt: skip
        for name, lit in lamps:
            if name in pins:
                self._write(pins[name], lit == active)

    def _write(self, pin: int, level: bool) -> None:
        if self._levels.get(pin) != level:
            self._gpio.write(pin, level=level)
            self._levels[pin] = level
