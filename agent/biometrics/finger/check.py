"""Compares the finger on the glass with the one that the credential stands for (1:1).

Where the reference comes from, in this order:
 1. templates that the credential carries, vendor sub-format 110, made by the fitted sensor family
    and as long as the module's own templates are;
 2. the slots that the module holds for the subject's keyed hash.
Otherwise `template_incompatible` where the credential carries fingers of another kind (ISO/IEC
19794-2 and ANSI 378 among them: the modules take their makers' own form only), else `no_reference`.

Rules:
- The module proves itself before each check (`guard`); the reference is sent to buffer 2
  while the person still reaches for the glass.
- A try is a touch. Between tries the finger is lifted. Of several failures the gravest is told: a
  mismatch, then bad quality, then that nobody came in time.
- A match is the module's match *and* a score at or over the threshold.
- A disturbed line begins the try anew, once; a second time is a fault of the sensor.
- Templates live as long as the check; scores and templates are not logged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent import log
from agent.biometrics.finger.guard import Guard, SensorSuspect
from agent.biometrics.finger.table import EnrolmentTable
from agent.credential.model import BiometricReference, Credential, Modality, ReferenceForm
from agent.passage.events import StartBiometric
from agent.reason import Reason
from hal.errors import SensorError
from hal.fingerprint import (
    PROBE,
    REFERENCE,
    Extraction,
    FingerprintSensor,
    Glass,
    Light,
    PasswordRefused,
    SensorRefused,
    TemplateLengthError,
)

__all__ = ["VENDOR_TEMPLATE", "FingerCheck", "FingerRules", "Reference", "Unusable", "usable"]

VENDOR_TEMPLATE: Final = 110
"""Claim 169 sub-format: a template of the sensor family that is named as issuer."""
MOST_REFERENCES: Final = 4
LIFT_S: Final = 2.0
_NAMES: Final = {0: "ANSI 378", 1: "ISO 19794-2", 2: "NIST"}
_RECORD: Final = b"FMR\0"
"""How a finger minutiae record of ISO/IEC 19794-2 and ANSI 378 begins."""
_GRAVITY: Final = (Reason.FINGER_TIMEOUT, Reason.FINGER_QUALITY, Reason.FINGER_MISMATCH)
_log = log.get(__name__)


class Unusable(Exception):
    """A reference cannot be used.

    Args:
        reason: the closed code.
        detail: for the operator's log; nothing personal.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FingerRules:
    """Habits of the place.

    Attributes:
        family: sensor family that templates must name.
        threshold: least score of a match.
        retries: touches after the first.
    """

    family: str
    threshold: int
    retries: int


@dataclass(frozen=True, slots=True)
class Reference:
    """What the probe is compared with: a template that was carried, or a slot of the module."""

    template: bytes = field(default=b"", repr=False)
    slot: int = -1

    def put(self, sensor: FingerprintSensor) -> None:
        """Put it into buffer 2.

        Raises:
            Unusable: the module cannot take it.
            SensorError: the line failed.
        """
        try:
            if self.template:
                sensor.download(self.template, REFERENCE)
            else:
                sensor.load(self.slot, REFERENCE)
        except TemplateLengthError as error:
            raise Unusable(Reason.TEMPLATE_INCOMPATIBLE, str(error)) from error
        except SensorRefused as error:
            if self.template:
                raise
            raise Unusable(
                Reason.NO_REFERENCE, f"slot {self.slot} is in the table and not in the module"
            ) from error

    def bytes_in(self, sensor: FingerprintSensor) -> bytes:
        """Return the template, out of buffer 2 where it lies in a slot."""
        if self.template:
            return self.template
        self.put(sensor)
        return sensor.upload(REFERENCE)


def usable(reference: BiometricReference, family: str, length: int | None) -> str:
    """Return why a carried reference cannot be used; empty when it can.

    Args:
        reference: a finger of the credential.
        family: the fitted sensor family.
        length: of the module's templates, None while unknown.
    """
    if reference.form is not ReferenceForm.TEMPLATE:
        return "a picture of a finger: the module takes templates only"
    if reference.data.startswith(_RECORD) or reference.subformat in _NAMES:
        name = _NAMES.get(reference.subformat, _NAMES[1])
        return f"a template after {name}: the module takes those of its own family only"
    if reference.subformat != VENDOR_TEMPLATE:
        return f"a template of sub-format {reference.subformat}, not {VENDOR_TEMPLATE}"
    if reference.issuer != family:
        return f"a template of another sensor family than {family}"
    if length is not None and len(reference.data) != length:
        return f"a template of {len(reference.data)} bytes; the module's have {length}"
    return "" if reference.data else "an empty template"


class FingerCheck:
    """Checks fingers with one module; an `agent.controller.biometric_checks.Check`.

    Args:
        sensor: the module; closed with `close`.
        guard: doubts it.
        table: who is enrolled in it.
        rules: habits of the place.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sensor: FingerprintSensor,
        guard: Guard,
        table: EnrolmentTable,
        rules: FingerRules,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sensor = sensor
        self._guard = guard
        self._table = table
        self.rules = rules
        self._clock = clock

    def enrolled(self, subject: str) -> bool:
        """Say whether the module holds a finger of a subject (keyed hash)."""
        return bool(self._table.slots_of(subject))

    def close(self) -> None:
        """Let go of the module."""
        self.sensor.close()

    def __call__(self, effect: StartBiometric, cancelled: threading.Event) -> Reason:
        """Run one check; `GRANTED` when it is the person.

        Raises:
            SensorError: the module is broken, gone, foreign or lying.
        """
        until = self._clock() + effect.timeout_s
        try:
            references = self._references(effect)
            self._guard.prove()
            reason = self._tries(references, until, cancelled)
        except Unusable as unusable:
            _log.info("reference refused", reason=unusable.reason.value, detail=unusable.detail)
            reason = unusable.reason
        if reason is Reason.GRANTED:
            self._show(Light.ACCEPTED)
        elif reason is Reason.PERSON_LEFT or reason is Reason.FINGER_TIMEOUT:
            self._show(Light.OFF)
        else:
            self._show(Light.REFUSED)
        return reason

    def search(self, timeout_s: float, cancelled: threading.Event) -> str | None:
        """Look for the finger on the glass among the enrolled staff (1:N).

        Args:
            timeout_s: how long to wait for a touch.
            cancelled: ends the wait.

        Returns:
            The subject's keyed hash, None for nobody.

        Raises:
            SensorError: the module is broken, gone, foreign or lying.
            TableError: the table cannot be read.
        """
        self._guard.prove()
        if self._probe(self._clock() + timeout_s, cancelled) is not Reason.GRANTED:
            return None
        hit = self.sensor.search()
        if hit is None or hit.score < self.rules.threshold:
            return None
        row = self._table.at(hit.slot)
        return row.subject if row is not None and row.staff else None

    # -- references ------------------------------------------------------------------------------

    def _references(self, effect: StartBiometric) -> tuple[Reference, ...]:
        credential = effect.use.context
        carried = credential.references if isinstance(credential, Credential) else ()
        fingers = [each for each in carried if each.modality is Modality.FINGER]
        why = ""
        found: list[Reference] = []
        for each in fingers[:16]:
            wrong = usable(each, self.rules.family, self.sensor.info.template_length)
            why = why or wrong
            if not wrong:
                found.append(Reference(template=each.data))
        if not found:
            found = [Reference(slot=slot) for slot in self._table.slots_of(effect.use.subject)]
        if found:
            return tuple(found[:MOST_REFERENCES])
        if fingers:
            raise Unusable(Reason.TEMPLATE_INCOMPATIBLE, why)
        raise Unusable(Reason.NO_REFERENCE, "no finger in the credential, none enrolled")

    # -- touches ---------------------------------------------------------------------------------

    def _tries(
        self, references: tuple[Reference, ...], until: float, cancelled: threading.Event
    ) -> Reason:
        gravest, disturbed, tries = Reason.FINGER_TIMEOUT, False, 0
        while tries <= self.rules.retries:
            try:
                if tries and not self._lifted(until, cancelled):
                    return gravest
                reason = self._touch(references, until, cancelled)
            except (SensorSuspect, PasswordRefused):
                raise
            except SensorError as error:
                if disturbed:
                    raise
                disturbed = True
                _log.warning("the line to the module was disturbed", fault=str(error))
                self._guard.prove()
                continue
            if reason is Reason.FINGER_TIMEOUT:
                return gravest
            if reason not in _GRAVITY:
                return reason
            gravest = max(gravest, reason, key=_GRAVITY.index)
            tries += 1
        return gravest

    def _touch(
        self, references: tuple[Reference, ...], until: float, cancelled: threading.Event
    ) -> Reason:
        decoy = self._guard.draws_decoy()
        early = self.sensor.info.template_length is not None
        if early:
            self._lay_first(references[0], decoy=decoy)
        probe = self._probe(until, cancelled)
        if probe is not Reason.GRANTED:
            return probe
        if not early:
            self.sensor.upload(PROBE)  # measures
            self._lay_first(references[0], decoy=decoy)
        if decoy:
            self._guard.expect_no_match()
            references[0].put(self.sensor)
        for number, reference in enumerate(references):
            if number:
                reference.put(self.sensor)
            if self.sensor.compare() >= self.rules.threshold:
                return Reason.GRANTED
        return Reason.FINGER_MISMATCH

    def _lay_first(self, reference: Reference, *, decoy: bool) -> None:
        """Fill buffer 2; nothing in the order of the commands tells a decoy from a reference."""
        if decoy:
            self._guard.lay_decoy(reference.bytes_in(self.sensor))
        else:
            reference.put(self.sensor)

    def _probe(self, until: float, cancelled: threading.Event) -> Reason:
        """Take a finger into buffer 1; GRANTED where its features are good."""
        self._show(Light.WAITING)
        seen = self.sensor.wait_for_finger(max(0.0, until - self._clock()), cancelled)
        if cancelled.is_set():
            return Reason.PERSON_LEFT
        if seen is Glass.EMPTY:
            return Reason.FINGER_TIMEOUT
        self._show(Light.WORKING)
        if seen is Glass.POOR or self.sensor.extract(PROBE) is not Extraction.GOOD:
            return Reason.FINGER_QUALITY
        return Reason.GRANTED

    def _lifted(self, until: float, cancelled: threading.Event) -> bool:
        """Ask for the finger to be lifted; whether it was and there is time for another touch."""
        self._show(Light.LIFT)
        left = until - self._clock()
        return left > 0 and self.sensor.wait_for_lift(min(left, LIFT_S), cancelled)

    def _show(self, light: Light) -> None:
        """Light the ring; a light that fails decides nothing."""
        try:
            self.sensor.light(light)
        except SensorError as error:
            _log.warning("the light of the module failed", fault=str(error))
