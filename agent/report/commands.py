"""Signed commands: what makes one believed, and how it is refused.

Rules, in this order, each with one word of refusal:
- `retained`: a retained message is never a command;
- `too_large`, `malformed`: a COSE_Sign1 of at most 4 KiB over a map with exactly the claims below;
- `wrong_type`: the protected `typ` (16) says command, so that no other signature of the same key
  can be replayed as one;
- `unknown_operator`, `algorithm_mismatch`, `bad_signature`;
- `clock_untrusted`: the gate does not believe its own clock; `operator_expired`;
- `wrong_command`: the signed name is the topic's; `wrong_gate`: the audience is this gate;
- `role_missing`: the key may not give this command;
- `future`, `stale`: issued at most 1 s ahead, living 5 s at most, not over;
- `reconnect`: issued before this connection stood; what a broker kept for us never moves a gate;
- `overtaken`: issued more than 11 s before the newest command that was ever accepted;
- `repeated`: the request id was seen; `not_kept`: it could not be written down (`command_memory`).
Nothing is looked at that a refusal above already forbids, and the signature is checked before any
claim is believed.

Claims: aud (3) `site/gate`, exp (4) and iat (6) Unix seconds, cti (7) request id of 8 to 32 bytes,
-65601 the command's name, -65602 its arguments (a map with text keys).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeGuard

from agent.credential import cbor, cose
from agent.credential.model import Rejected
from agent.credential.numbers import Claim, Header
from agent.reason import Reason
from agent.report.command_memory import CommandMemory, MemoryRefused
from agent.report.payloads import CommandStatus
from agent.report.topics import CommandName, GateAddress
from agent.trust.model import OperatorKey

__all__ = [
    "COMMAND_TYPE",
    "LIFETIME_S",
    "Command",
    "CommandGuard",
    "CommandRefused",
    "CommandResult",
    "OperatorLookup",
    "Refusal",
    "claims",
    "open_signed",
]

COMMAND_TYPE: Final = "application/idgate-command+cwt"
LIFETIME_S: Final = 5
AHEAD_S: Final = 1
MAX_BYTES: Final = 4_096
NAME_CLAIM: Final = -65_601
ARGUMENTS_CLAIM: Final = -65_602

OperatorLookup = Callable[[bytes], OperatorKey | None]


class Refusal(StrEnum):
    """Why a command, or a signed configuration, was not believed."""

    RETAINED = "retained"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    UNSIGNED = "unsigned"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_OPERATOR = "unknown_operator"
    ALGORITHM_MISMATCH = "algorithm_mismatch"
    BAD_SIGNATURE = "bad_signature"
    CLOCK_UNTRUSTED = "clock_untrusted"
    OPERATOR_EXPIRED = "operator_expired"
    WRONG_COMMAND = "wrong_command"
    WRONG_GATE = "wrong_gate"
    ROLE_MISSING = "role_missing"
    FUTURE = "future"
    STALE = "stale"
    RECONNECT = "reconnect"
    OVERTAKEN = "overtaken"
    REPEATED = "repeated"
    NOT_KEPT = "not_kept"
    DISABLED = "disabled"
    BUSY = "busy"


class CommandRefused(Exception):
    """The command is not carried out.

    Args:
        refusal: the closed word.
        transaction: the request id in hexadecimal where the signature held, else "".
        detail: what an operator of the gate should know besides, or "".
    """

    def __init__(self, refusal: Refusal, transaction: str = "", detail: str = "") -> None:
        super().__init__(refusal.value)
        self.refusal = refusal
        self.transaction = transaction
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Command:
    """A command that passed every check.

    Attributes:
        name: what to do.
        arguments: text keys; what they may be is the command's own business.
        transaction: request id in hexadecimal, repeated in the answer.
        operator: name of the operator in the trust set.
        key_id: the operator's key, in hexadecimal.
        issued_at, expires_at: Unix seconds.
        deadline: until when it may be begun, monotonic seconds: a step of the clock gives no
            command a longer life.
    """

    name: CommandName
    arguments: Mapping[str, Any] = field(repr=False)
    transaction: str
    operator: str
    key_id: str
    issued_at: int
    expires_at: int
    deadline: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a handler answers; `IN_PROGRESS` is followed by `Reporter.respond` later."""

    status: CommandStatus
    error: str | None = None
    detail: str = ""


def claims(
    name: CommandName,
    gate: GateAddress,
    *,
    request_id: bytes,
    issued_at: int,
    arguments: Mapping[str, Any],
    lifetime_s: int = LIFETIME_S,
) -> dict[int, Any]:
    """Return the claims of a command, ready to be signed."""
    return {
        int(Claim.AUD): gate.name,
        int(Claim.EXP): issued_at + lifetime_s,
        int(Claim.IAT): issued_at,
        int(Claim.CTI): request_id,
        NAME_CLAIM: name.value,
        ARGUMENTS_CLAIM: dict(arguments),
    }


def open_signed(
    payload: bytes,
    *,
    content: str,
    limit: int,
    operator: OperatorLookup,
    now: float | None,
    floats: bool = False,
) -> tuple[dict[Any, Any], OperatorKey]:
    """Check an operator's COSE_Sign1 and return the map inside and the key.

    Args:
        payload: the message.
        content: its type.
        limit: most bytes.
        operator: looks the key up.
        now: Unix seconds; None while no time is believed, and then nothing is.
        floats: whether fractions may be inside.

    Raises:
        CommandRefused: everything up to `operator_expired` of the list above.
    """
    if len(payload) > limit:
        raise CommandRefused(Refusal.TOO_LARGE)
    try:
        message = cose.parse_sign1(payload)
    except Rejected as error:
        raise CommandRefused(_refusal(error.reason)) from error
    if message.protected.get(Header.TYP) != content:
        raise CommandRefused(Refusal.WRONG_TYPE)
    kid = message.protected.get(Header.KID)
    key = operator(kid) if isinstance(kid, bytes) else None
    if key is None:
        raise CommandRefused(Refusal.UNKNOWN_OPERATOR)
    try:
        cose.verify(message, key.algorithm, key.public_key)
        found = cbor.decode(message.payload, floats=floats)
    except Rejected as error:
        raise CommandRefused(_refusal(error.reason)) from error
    if not isinstance(found, dict):
        raise CommandRefused(Refusal.MALFORMED)
    if now is None:
        raise CommandRefused(Refusal.CLOCK_UNTRUSTED, _transaction(found))
    if not key.valid_from <= now <= key.valid_until:
        raise CommandRefused(Refusal.OPERATOR_EXPIRED)
    return found, key


def _transaction(found: dict[Any, Any]) -> str:
    request_id = found.get(Claim.CTI)
    return request_id.hex() if _is_request_id(request_id) else ""


def _is_request_id(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes) and 8 <= len(value) <= 32


def _refusal(reason: Reason) -> Refusal:
    """Map the credential core's reason to ours; all others say that the form is wrong."""
    return {
        Reason.UNSIGNED: Refusal.UNSIGNED,
        Reason.BAD_SIGNATURE: Refusal.BAD_SIGNATURE,
        Reason.ALGORITHM_MISMATCH: Refusal.ALGORITHM_MISMATCH,
    }.get(reason, Refusal.MALFORMED)


class CommandGuard:
    """Judges commands for one gate.

    Args:
        gate: this gate.
        operator: looks an operator's key up by kid, in the trust snapshot of the moment.
        memory: what was accepted before.
    """

    def __init__(self, gate: GateAddress, operator: OperatorLookup, memory: CommandMemory) -> None:
        self._gate = gate
        self._operator = operator
        self._memory = memory

    def judge(
        self,
        topic_name: str,
        payload: bytes,
        *,
        retained: bool,
        now: float | None,
        monotonic: float,
        connected_at: float,
    ) -> Command:
        """Return the command, if every rule holds.

        Args:
            topic_name: last level of the topic.
            payload: the message.
            retained: the retain flag as the broker delivered it.
            now: Unix seconds; None while no time is believed.
            monotonic: seconds of the monotonic clock at the same moment.
            connected_at: Unix seconds at which the broker accepted this connection.

        Raises:
            CommandRefused: with the first rule that does not hold.
        """
        if retained:
            raise CommandRefused(Refusal.RETAINED)
        found, key = open_signed(
            payload, content=COMMAND_TYPE, limit=MAX_BYTES, operator=self._operator, now=now
        )
        if now is None:  # `open_signed` says so; here for whoever changes that
            raise CommandRefused(Refusal.CLOCK_UNTRUSTED)
        command = _command(found, key, monotonic - now)
        self._check_address(command, found[Claim.AUD], topic_name, key)
        refusal = _time_refusal(command, now, connected_at)
        if refusal is not None:
            raise CommandRefused(refusal, command.transaction)
        self._remember(key.kid, found[Claim.CTI], command)
        return command

    def _check_address(
        self, command: Command, audience: str, topic_name: str, key: OperatorKey
    ) -> None:
        if command.name != topic_name:
            raise CommandRefused(Refusal.WRONG_COMMAND, command.transaction)
        if audience != self._gate.name:
            raise CommandRefused(Refusal.WRONG_GATE, command.transaction)
        if command.name not in key.roles:
            raise CommandRefused(Refusal.ROLE_MISSING, command.transaction)

    def _remember(self, kid: bytes, request_id: bytes, command: Command) -> None:
        """Write the id down until the command could not be accepted again anyway."""
        memory, issued_at = self._memory, command.issued_at
        if memory.overtaken(issued_at):
            raise CommandRefused(Refusal.OVERTAKEN, command.transaction)
        if memory.holds(kid, request_id):
            raise CommandRefused(Refusal.REPEATED, command.transaction)
        if memory.full(issued_at):
            # Forgetting an id that may still come again would let it act twice.
            raise CommandRefused(Refusal.BUSY, command.transaction)
        try:
            memory.remember(kid, request_id, issued_at)
        except MemoryRefused as error:
            raise CommandRefused(Refusal.NOT_KEPT, command.transaction, str(error)) from error


def _command(found: dict[Any, Any], key: OperatorKey, ahead_s: float) -> Command:
    """Build the command from its claims: these six and no other, each of its own type.

    Args:
        found: the claims.
        key: who signed.
        ahead_s: the monotonic clock less the time of day.
    """
    expected = {Claim.AUD, Claim.EXP, Claim.IAT, Claim.CTI, NAME_CLAIM, ARGUMENTS_CLAIM}
    if found.keys() != expected:
        raise CommandRefused(Refusal.MALFORMED)
    request_id, name = found[Claim.CTI], found[NAME_CLAIM]
    arguments = found[ARGUMENTS_CLAIM]
    times = (found[Claim.IAT], found[Claim.EXP])
    if not (
        _is_request_id(request_id)
        and isinstance(found[Claim.AUD], str)
        and isinstance(arguments, dict)
        and all(isinstance(word, str) for word in arguments)
        and all(type(time) is int and 0 <= time < 2**53 for time in times)
        and isinstance(name, str)
        and name in {command.value for command in CommandName}
    ):
        raise CommandRefused(Refusal.MALFORMED)
    return Command(
        name=CommandName(name),
        arguments=arguments,
        transaction=request_id.hex(),
        operator=key.name,
        key_id=key.kid.hex(),
        issued_at=times[0],
        expires_at=times[1],
        deadline=times[1] + ahead_s,
    )


def _time_refusal(command: Command, now: float, connected_at: float) -> Refusal | None:
    lifetime = command.expires_at - command.issued_at
    if not 0 < lifetime <= LIFETIME_S:
        return Refusal.MALFORMED
    if command.issued_at > now + AHEAD_S:
        return Refusal.FUTURE
    if now > command.expires_at:
        return Refusal.STALE
    if command.issued_at <= connected_at:
        return Refusal.RECONNECT
    return None
