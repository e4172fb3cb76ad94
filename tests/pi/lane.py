"""A person's hands and eyes at the emulated gate: what one does there, and what one sees of it.

Waiting is for what shall happen, with generous ends: an emulated board on a busy machine takes its
time. `PATIENCE_S` is the longest that anything may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.biometrics.finger.enroll import take_model
from agent.credential.model import BiometricReference, Kind, Level
from agent.issuing.issue import (
    Holder,
    Issuer,
    SigningKey,
    finger_template,
    new_issuer,
    present,
    sign_credential,
)
from hal.fingerprint import PROBE
from hal.raspberrypi.fingerprint import AdafruitSensor
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_script import Script, Touch
from tests.pi import premises
from tests.pi.guest import Console
from tests.pi.outside import HOST, Event, Fleet, View
from tests.pi.pins import Drive, Pins

PATIENCE_S = 300.0
STEP_S = 0.6
"""How long a body is in the beam."""
DAY_S = 86_400


class Failed(Exception):
    """The gate did not do what it must; the text says what was seen."""


@dataclass
class Issuing:
    """The site's issuer and one that it does not know.

    Attributes:
        private: folder of the site's keys.
    """

    private: Path
    city: Issuer = field(init=False)
    stranger: Issuer = field(init=False)

    def __post_init__(self) -> None:
        key = SigningKey.from_pem((self.private / "issuer.pem").read_bytes())
        self.city = Issuer("city", (self.private / "issuer.iss").read_text("utf-8"), key)
        self.stranger = new_issuer("stranger", "ES256")

    def code(
        self,
        *,
        issuer: Issuer | None = None,
        age_s: int = 0,
        kind: Kind = Kind.LIBRARY_CARD,
        finger: BiometricReference | None = None,
        borrowed: bool = False,
    ) -> str:
        """Return a dynamic code of a new person's phone.

        Args:
            issuer: who signed; None for the site's own.
            age_s: how long ago the phone made it.
            kind: of document.
            finger: makes it an upgraded identity with that finger.
            borrowed: shown by a phone that has another key than the credential names.
        """
        now, holder = int(time.time()), Holder.new()
        credential = sign_credential(
            issuer or self.city, holder, subject=f"person-{time.monotonic_ns()}",
            issued_at=now - DAY_S, valid_until=now + DAY_S,
            kind=Kind.ONLINE_ID if finger else kind,
            level=Level.UPGRADED if finger else Level.BASIC,
            references=[finger] if finger else (),
        )  # fmt: skip
        return present(credential, Holder.new() if borrowed else holder, at=now - age_s)


def finger_reference(name: str) -> BiometricReference:
    """Return the template of an invented finger, enrolled at another module of the gate's family."""
    with SimulatedFingerprint(
        Script(variant=premises.FAMILY, touch=(Touch(name), Touch(name))), pace=False
    ) as module:
        sensor = AdafruitSensor(module.open_pty())
        try:
            take_model(sensor, lambda _line: None, timeout_s=5.0)
            return finger_template(sensor.upload(PROBE), premises.FAMILY)
        finally:
            sensor.close()


class Lane:
    """The place before the gate.

    Args:
        pins, console, fleet, view: the emulated gate's surroundings.
        say: told what is being done.
    """

    def __init__(
        self, pins: Pins, console: Console, fleet: Fleet, view: View, say: Callable[[str], None]
    ) -> None:
        self.pins, self.console, self.fleet, self.say = pins, console, fleet, say
        self._view = view

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
        """Wait until something is so, and return it.

        Raises:
            Failed: it is not so in time.
        """
        end = time.monotonic() + timeout_s
        while not (found := condition()):
            if self.pins.error or time.monotonic() > end:
                raise Failed(f"not within {timeout_s:g} s: {what} {self.pins.error}")
            time.sleep(0.1)
        return found

    def drives(self, pin: int, *wanted: Drive, timeout_s: float = PATIENCE_S) -> float:
        """Wait until a pin does one of these; return when it began to."""
        try:
            return self.pins.wait_drive(pin, *wanted, timeout_s=timeout_s)
        except TimeoutError as error:
            raise Failed(str(error)) from None

    def rest(self) -> None:
        """Put the lines of the inputs where they are with nobody there: these high, the loops low."""
        for pin in (premises.PASSAGE, premises.RELEASE):
            self.pins.set_input(pin, level=True)
        self.until(self.pins.settled, "the levels are on their lines")

    def bring(self, *payloads: str) -> None:
        """Take the picture of phones with these codes to the gate, not yet before its camera."""
        self._view.picture = premises.picture(*payloads)
        self.console.run(
            f"curl -sSf --retry 60 --retry-delay 1 --retry-all-errors -o /srv/view/next http://{HOST}/"
        )

    def hold_up(self) -> float:
        """Put the picture that was brought before the camera; return when."""
        began = time.monotonic()
        self.console.run(f"mv /srv/view/next /{premises.VIEW}")
        return began

    def show(self, *payloads: str) -> float:
        """Hold up phones with these codes, or nothing; return when."""
        self.bring(*payloads)
        return self.hold_up()

    def refused(self, payload: str) -> float:
        """Show a code until the red lamp lights, and take it away; return when it was shown."""
        shown = self.show(payload)
        self.until(lambda: self.pins.rises(premises.RED, shown), "the red lamp")
        self.show()
        self.drives(premises.RED, Drive.LOW)
        return shown

    def let_in(self, payload: str) -> tuple[float, float]:
        """Show a code until the relay is on; return when it was shown and when the relay was on."""
        shown = self.show(payload)
        opened = self.drives(premises.RELAY, Drive.HIGH)
        self.show()
        return shown, opened

    def walk(self) -> float:
        """Walk through the beam; return when the relay went off."""
        self.pins.set_input(premises.PASSAGE, level=False)
        time.sleep(STEP_S)
        self.pins.set_input(premises.PASSAGE, level=True)
        return self.drives(premises.RELAY, Drive.LOW)

    def ready(self) -> float:
        """Wait until the agent says that it is ready; return when."""
        return self.drives(premises.READY, Drive.HIGH, timeout_s=2 * PATIENCE_S)

    # -- what the collector has

    def told(self, kind: str) -> list[Event]:
        """Return the events of a kind that reached the collector."""
        return [event for event in self.fleet.events() if event.type == kind]

    def verdicts(self) -> list[Event]:
        """Return the decisions on codes that reached the collector, without annulments."""
        return [
            event
            for event in self.told("decision")
            if event.data.get("source", "code") == "code" and event.data["decision"] != "annulled"
        ]

    def next_verdict(self, before: int) -> dict[str, Any]:
        """Wait for the decision after so many, and return it."""
        found: Sequence[Event] = self.until(
            lambda: self.verdicts()[before:], "a decision at the collector"
        )
        return found[0].data

    def service(self, *names: str, unit: str = "idgate") -> dict[str, str]:
        """Return properties of a unit, as systemd has them."""
        shown = self.console.run(
            f"systemctl show {unit} {' '.join(f'-p {name}' for name in names)}"
        )
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
