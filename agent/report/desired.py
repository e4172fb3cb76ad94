"""Configuration from afar: `config/desired`, signed and versioned; `config/reported` answers.

Rules:
- A desired state is a COSE_Sign1 by an operator key with the role `config`, for this gate, with a
  version above the last one applied; the same version again is only reported again.
- It lives for thirty days from its `iat`: one that was withheld longer is `stale`, one dated ahead
  `future`. What is in force stays so. While the gate does not believe its clock it waits
  (`clock_untrusted`) and is judged again when it does.
- A version is at most its `iat`, so that no signature can use the versions up.
- Profiles are named, never files; what the file's `[floor]` demands stays demanded
  (`not_applicable`).
- It is whole or not at all: one key that may not be set, or one value that does not fit its type,
  rejects it, with a reason, and everything stays as it was.
- Only the keys of `REMOTE` can be set. `NEVER` names five that are asked for and never will be:
  who the gate is, where it reports, what it believes, what it drives, and the subjects' key.
- A state is in force only once it is on the disk: the last good one is kept there and applied again
  at each start, before anything is connected.

Claims: aud (3) `site/gate`, iat (6), -65603 version, -65604 values: a map from `section.key`.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.credential.numbers import Claim
from agent.report import payloads
from agent.report.commands import CommandRefused, OperatorLookup, Refusal, open_signed
from agent.report.link import Message, Received
from agent.report.payloads import Reported
from agent.report.topics import GateAddress
from agent.settings.checks import contradiction
from agent.settings.errors import explain
from agent.settings.model import Config

__all__ = ["CONFIG_TYPE", "NEVER", "REMOTE", "DesiredConfig", "desired_claims", "overlay"]

_LOG = logging.getLogger(__name__)
CONFIG_TYPE: Final = "application/idgate-config+cwt"
VERSION_CLAIM: Final = -65_603
VALUES_CLAIM: Final = -65_604
MAX_BYTES: Final = 16_384
LIFE_S: Final = 30 * 86_400
"""How long after its `iat` a desired state may still come into force."""
AHEAD_S: Final = 300
"""How far its `iat` may be ahead of the gate's clock."""
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

REMOTE: Final = frozenset(
    {
        "gate.profile", "gate.region", "gate.direction", "gate.zone", "gate.passage_timeout_s",
        "gate.biometric_timeout_s", "gate.lockout_failures", "gate.lockout_s", "gate.denial_s",
        "scan.deadline_ms", "scan.pyzbar", "scan.retry", "trust.refresh_s", "mqtt.event_rate",
        "mqtt.metrics_s", "log.level",
    }
)  # fmt: skip
NEVER: Final = (
    "gate.gate", "mqtt.url", "trust.signed", "gpio.relay", "journal.subject_key_file",
)  # fmt: skip


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept on disk."""

    version: int
    values: dict[str, Any]


class _Rejected(Exception):
    """The desired state is not brought into force; `reason` is a closed word."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def desired_claims(
    gate: GateAddress, *, version: int, values: Mapping[str, Any], issued_at: int
) -> dict[int, Any]:
    """Return the claims of a desired state, ready to be signed."""
    return {
        int(Claim.AUD): gate.name,
        int(Claim.IAT): issued_at,
        VERSION_CLAIM: version,
        VALUES_CLAIM: dict(values),
    }


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the settings with these keys replaced.

    Raises:
        ValueError: a key may not be set, or a value does not fit; the message names it.
    """
    table = msgspec.to_builtins(config)
    for key, value in values.items():
        if key not in REMOTE:
            raise ValueError(f"{key}: may not be set from afar")
        section, _, name = key.partition(".")
        if table.get(section) is None:
            raise ValueError(f"{key}: this gate has no table {section}")
        if key == "gate.profile" and not (isinstance(value, str) and _PROFILE.fullmatch(value)):
            raise ValueError(f"{key}: a profile's name; from afar no file can be named")
        table[section][name] = value
    try:
        wanted = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise ValueError(explain(error, Config)) from None
    if wrong := contradiction(wanted):
        raise ValueError(wrong)
    return wanted


class DesiredConfig:
    """Takes desired states, keeps the last good one, reports.

    Args:
        config: the settings of the file.
        gate: this gate.
        path: where the last good state is kept.
        operator: looks operator keys up.
        apply: brings the settings into force; returns what is wrong, or "".
        clock: Unix seconds, None while no time is believed.
    """

    def __init__(
        self,
        config: Config,
        gate: GateAddress,
        path: Path,
        *,
        operator: OperatorLookup,
        apply: Callable[[Config], str],
        clock: Callable[[], float | None],
    ) -> None:
        self._config = config
        self._gate = gate
        self._path = path
        self._operator = operator
        self._apply = apply
        self._clock = clock
        self.refused_by_disk = ""
        """Why the newest state could not be kept; empty where it could."""
        self._send: Callable[[Message], None] | None = None
        self._kept = _Kept(0, {})
        self._lock = threading.Lock()
        self._waiting = b""
        """The newest state, while no time is believed by which to judge it."""
        self._report = Reported(version=0, status="none")
        self._load()

    @property
    def effective(self) -> Config:
        """The file's settings with the last good desired state upon them."""
        return overlay(self._config, self._kept.values)

    @property
    def origin(self) -> str:
        """Say where settings come from that the file does not have; "" where there are none."""
        if not self._kept.values:
            return ""
        return f"desired by the fleet in version {self._kept.version}, kept in {self._path}"

    def attach(self, send: Callable[[Message], None]) -> None:
        """Take the way to publish."""
        self._send = send

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return the one topic."""
        return [(self._gate.topic("config/desired"), 1)]

    def births(self) -> list[Message]:
        """Return what is in force."""
        return [self._message()]

    def received(self, message: Received) -> bool:
        """Judge a desired state; it may be retained, since its version orders it."""
        if message.topic != self._gate.topic("config/desired"):
            return False
        if message.payload:
            with self._lock:
                self._take(message.payload)
        return True

    def retry(self) -> None:
        """Judge again what waits for a time that is believed; call now and then."""
        with self._lock:
            if self._waiting and self._clock() is not None:
                self._take(self._waiting)

    def leave_out(self, why: str) -> None:
        """Go on without the state that was kept: it falls below what the file demands by now."""
        _LOG.warning("kept configuration left out: %s", why)
        self._kept = _Kept(0, {})
        self._report = Reported(version=0, status="rejected", reason="kept_state", detail=why[:200])

    # -- inside -------------------------------------------------------------------------------

    def _take(self, payload: bytes) -> None:
        self._waiting = b""
        self._judge(payload)
        if self._report.reason == Refusal.CLOCK_UNTRUSTED.value:
            self._waiting = payload
        if self._send is not None:
            self._send(self._message())

    def _judge(self, payload: bytes) -> None:
        version = None
        try:
            version, values, issued_at = self._open(payload)
            if version == self._kept.version and values == self._kept.values:
                self._report = self._good()
                return
            self._check_times(version, issued_at)
            self._bring_into_force(version, values)
        except _Rejected as error:
            _LOG.warning("desired configuration rejected: %s %s", error.reason, error.detail)
            self._report = msgspec.structs.replace(
                self._good(),
                status="rejected",
                reason=error.reason,
                detail=error.detail[:200],
                rejected_version=version,
            )

    def _open(self, payload: bytes) -> tuple[int, dict[str, Any], int]:
        try:
            found, key = open_signed(
                payload,
                content=CONFIG_TYPE,
                limit=MAX_BYTES,
                operator=self._operator,
                now=self._clock(),
                floats=True,
            )
        except CommandRefused as error:
            raise _Rejected(error.refusal.value) from error
        if "config" not in key.roles:
            raise _Rejected(Refusal.ROLE_MISSING.value)
        version, values = found.get(VERSION_CLAIM), found.get(VALUES_CLAIM)
        issued_at = found.get(Claim.IAT)
        if (
            found.keys() != {Claim.AUD, Claim.IAT, VERSION_CLAIM, VALUES_CLAIM}
            or type(version) is not int
            or not 0 < version < 2**53
            or type(issued_at) is not int
            or not 0 <= issued_at < 2**53
            or not isinstance(values, dict)
            or not all(isinstance(name, str) for name in values)
        ):
            raise _Rejected(Refusal.MALFORMED.value)
        if found[Claim.AUD] != self._gate.name:
            raise _Rejected(Refusal.WRONG_GATE.value)
        return version, values, issued_at

    def _check_times(self, version: int, issued_at: int) -> None:
        now = self._clock()
        if now is None:
            raise _Rejected(Refusal.CLOCK_UNTRUSTED.value)
        if issued_at > now + AHEAD_S:
            raise _Rejected(Refusal.FUTURE.value, f"signed for {issued_at}, it is {now:.0f}")
        if now > issued_at + LIFE_S:
            days = (now - issued_at) / 86_400
            raise _Rejected(Refusal.STALE.value, f"signed {days:.0f} days ago, 30 are allowed")
        if version > issued_at:
            raise _Rejected("version_too_high", f"at most the time of signing, {issued_at}")

    def _bring_into_force(self, version: int, values: dict[str, Any]) -> None:
        if version <= self._kept.version:
            raise _Rejected("old_version", f"version {self._kept.version} is in force")
        try:
            config = overlay(self._config, values)
        except (ValueError, TypeError) as error:
            raise _Rejected("not_allowed", str(error)) from error
        kept = _Kept(version, values)
        scratch = self._write(kept)
        wrong = self._apply(config)
        if wrong:
            raise _Rejected("not_applicable", wrong)
        scratch.rename(self._path)
        self._kept = kept
        self._report = self._good()

    def _good(self) -> Reported:
        return Reported(
            version=self._kept.version,
            status="applied" if self._kept.version else "none",
            values=self._kept.values,
        )

    def _message(self) -> Message:
        topic = self._gate.topic("config/reported")
        return Message(topic, payloads.encode(self._report), retain=True)

    def _load(self) -> None:
        """Read the last good state; one that no longer fits is left out, and reported."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
            overlay(self._config, kept.values)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _LOG.warning("kept configuration left out: %s", error)
            self._report = Reported(
                version=0, status="rejected", reason="kept_state", detail=str(error)[:200]
            )
            return
        self._kept = kept
        self._report = self._good()

    def _write(self, kept: _Kept) -> Path:
        """Write the state beside its place, where a rename puts it.

        What could not be kept is not brought into force either: the restart that it takes would
        find the old one, be told of the new one again, and so on.
        """
        scratch = self._path.with_name(self._path.name + ".new")
        try:
            with scratch.open("wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.refused_by_disk = error.strerror or "refused"
            raise _Rejected("not_kept", self.refused_by_disk) from error
        self.refused_by_disk = ""
        return scratch
