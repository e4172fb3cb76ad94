"""The inside of a simulated fingerprint module: frames in, frames out, no line and no clock.

It answers as the makers' manuals of R307 and R503 say, down to the bytes, with these habits of real
modules that drivers trip over:
- until the password was verified after power-up, a module with one refuses everything else (0x21);
- while it receives a template it takes nothing but data frames: a command is lost, and a transfer
  that never ends keeps it waiting for ever;
- what it received is not acknowledged; a template of the wrong length or with a bad frame leaves
  the buffer empty;
- a frame whose sum is wrong is answered 0x01.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hal.fingerprint import FACTORY_PASSWORD, NOTEPAD_BYTES, Confirmation
from hal.fingerprint_frame import BROADCAST, Frame, FrameError, FrameReader, Kind, encode
from hal.simulated.fingerprint_fingers import (
    ENOUGH,
    Condition,
    Features,
    Impression,
    combine,
    read_template,
    score,
)
from hal.simulated.fingerprint_script import COMMANDS, Glass

__all__ = ["R307", "R503", "VARIANTS", "Module", "Reply", "Variant"]

THRESHOLDS: Final = {1: 30, 2: 40, 3: 50, 4: 70, 5: 100}
"""Least score that the module calls a match, by security level."""
NOTE_PAGES: Final = 16


@dataclass(frozen=True, slots=True)
class Variant:
    """A model of module.

    Attributes:
        name: as the settings call the family.
        template_length: bytes.
        slots: size of the library.
        ring: whether it has a light.
        empty_buffer: whether a buffer that holds nothing can be read all the same.
        picture: width and height, pixels.
        baud, packet_code: as from the factory.
        system_id: firmware number.
    """

    name: str
    template_length: int
    slots: int
    ring: bool
    empty_buffer: bool
    picture: tuple[int, int]
    baud: int = 57_600
    packet_code: int = 2
    system_id: int = 0


R503: Final = Variant("r503", 1_536, 200, True, True, (192, 192))
R307: Final = Variant("r307", 512, 1_000, False, False, (256, 288), system_id=9)
VARIANTS: Final = {variant.name: variant for variant in (R503, R307)}

SECONDS: Final = {
    0x01: 0.15, 0x02: 0.3, 0x03: 0.01, 0x04: 0.05, 0x05: 0.1, 0x06: 0.05, 0x0C: 0.05, 0x0D: 0.2,
    0x1B: 0.05, 0x18: 0.03,
}  # fmt: skip
"""What a command takes beside the line; an empty glass is seen in a fifth of a picture's time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a module sends after one frame.

    Attributes:
        command: what it answers.
        frames: encoded, in order; none for a data frame.
        work_s: how long a real module works before the first.
        after: what it does when everything is sent.
    """

    command: int
    frames: tuple[bytes, ...]
    work_s: float = 0.0
    after: Callable[[], None] | None = None


@dataclass(slots=True)
class _Incoming:
    """A transfer under way from the host."""

    buffer: int
    data: bytearray = field(default_factory=bytearray)
    spoiled: bool = False


_NAMES: Final = {code: name for name, code in COMMANDS.items()}
LONGEST_TRANSFER: Final = 1 << 16


class Module:
    """A module's registers, buffers, library and notepad.

    Args:
        variant: which model.
        glass: who touches it.
        flash: where the library is kept; None forgets it.
    """

    def __init__(self, variant: Variant, glass: Glass, flash: Path | None = None) -> None:
        self.variant = variant
        self.glass = glass
        self._flash = flash
        self.library: dict[int, bytes] = {}
        self.notes: dict[int, bytes] = {}
        self.password = FACTORY_PASSWORD
        self.address = BROADCAST
        self.security_level = 3
        self.packet_code = variant.packet_code
        self.baud = variant.baud
        self.lights: list[tuple[int, ...]] = []
        """Every light command: mode, speed, colour, cycles."""
        self._load_flash()
        self.power_up()

    def power_up(self) -> None:
        """Begin as after power-up: buffers, picture and password proof are gone."""
        self._reader = FrameReader()
        self._buffers: dict[int, bytes] = {}
        self._picture: Impression | None = None
        self._incoming: _Incoming | None = None
        self._proven = self.password == FACTORY_PASSWORD
        self._draws = 0

    @property
    def receiving(self) -> bool:
        """Whether it waits for data frames."""
        return self._incoming is not None

    def receive(self, data: bytes) -> list[Reply]:
        """Take bytes from the line; return what it answers, one entry a frame."""
        self._reader.feed(data)
        replies: list[Reply] = []
        while True:
            try:
                frame = self._reader.next()
            except FrameError:
                if self._incoming is not None:
                    self._incoming.spoiled = True
                else:
                    replies.append(Reply(0, (self._ack(Confirmation.PACKET_ERROR),)))
                continue
            if frame is None:
                return replies
            reply = self._take(frame)
            if reply is not None:
                replies.append(reply)

    def _take(self, frame: Frame) -> Reply | None:
        if frame.address != self.address:
            return None
        if self._incoming is not None:
            self._take_data(self._incoming, frame)
            return None
        if frame.kind is not Kind.COMMAND or not frame.payload:
            return None
        return self._command(frame.payload[0], frame.payload[1:])

    def _take_data(self, incoming: _Incoming, frame: Frame) -> None:
        if frame.kind not in {Kind.DATA, Kind.END}:
            return
        incoming.data += frame.payload
        if len(incoming.data) > LONGEST_TRANSFER:
            incoming.spoiled = True
            incoming.data.clear()
        if frame.kind is Kind.END:
            whole = len(incoming.data) == self.variant.template_length and not incoming.spoiled
            self._buffers.pop(incoming.buffer, None)
            if whole:
                self._buffers[incoming.buffer] = bytes(incoming.data)
            self._incoming = None

    # -- commands ------------------------------------------------------------------------------

    def _command(self, code: int, rest: bytes) -> Reply:
        if not self._proven and code != COMMANDS["verify_password"]:
            return Reply(code, (self._ack(Confirmation.VERIFY_PASSWORD),))
        handler: Callable[[int, bytes], Reply] | None = getattr(
            self, f"_do_{_NAMES.get(code, '')}", None
        )
        if handler is None:
            return Reply(code, (self._ack(Confirmation.PACKET_ERROR),))
        try:
            reply: Reply = handler(code, rest)
        except IndexError:
            return Reply(code, (self._ack(Confirmation.PACKET_ERROR),))
        return reply

    def _ack(self, code: int, more: bytes = b"") -> bytes:
        return encode(Kind.ACK, bytes([code]) + more, self.address)

    def _answer(self, command: int, code: int, more: bytes = b"", work_s: float = -1.0) -> Reply:
        work_s = SECONDS.get(command, 0.0) if work_s < 0 else work_s
        return Reply(command, (self._ack(code, more),), work_s)

    def _do_get_image(self, command: int, _rest: bytes) -> Reply:
        seen = self.glass.look()
        self._picture = None
        if seen is None:
            return self._answer(command, Confirmation.NO_FINGER, work_s=SECONDS[command] / 5)
        if seen.condition is Condition.NONE:
            return self._answer(command, Confirmation.IMAGE_FAILED)
        self._picture = seen
        return self._answer(command, Confirmation.OK)

    def _do_extract(self, command: int, rest: bytes) -> Reply:
        buffer = rest[0]
        if self._picture is None:
            return self._answer(command, Confirmation.NO_IMAGE)
        self._buffers.pop(buffer, None)
        if self._picture.condition is Condition.WET:
            return self._answer(command, Confirmation.MESSY)
        features = self._picture.features()
        if len(features.points) < ENOUGH:
            return self._answer(command, Confirmation.FEW_FEATURES)
        self._buffers[buffer] = features.template(self.variant.template_length)
        return self._answer(command, Confirmation.OK)

    def _features(self, buffer: int) -> Features | None:
        return read_template(self._buffers.get(buffer, b""))

    def _do_match(self, command: int, _rest: bytes) -> Reply:
        one, other = self._features(1), self._features(2)
        found = 0 if one is None or other is None else score(one, other)
        if found < THRESHOLDS[self.security_level]:
            return self._answer(command, Confirmation.NO_MATCH, bytes(2))
        return self._answer(command, Confirmation.OK, found.to_bytes(2, "big"))

    def _do_search(self, command: int, rest: bytes) -> Reply:
        probe = self._features(rest[0])
        first, count = int.from_bytes(rest[1:3], "big"), int.from_bytes(rest[3:5], "big")
        best, best_slot = 0, 0
        for slot in sorted(self.library):
            other = read_template(self.library[slot])
            if probe is None or other is None or not first <= slot < first + count:
                continue
            found = score(probe, other)
            if found > best:
                best, best_slot = found, slot
        if best < THRESHOLDS[self.security_level]:
            return self._answer(command, Confirmation.NOT_FOUND, bytes(4))
        more = best_slot.to_bytes(2, "big") + best.to_bytes(2, "big")
        return self._answer(command, Confirmation.OK, more)

    def _do_create_model(self, command: int, _rest: bytes) -> Reply:
        one, other = self._features(1), self._features(2)
        joined = None if one is None or other is None else combine(one, other)
        if joined is None:
            return self._answer(command, Confirmation.CANNOT_COMBINE)
        self._buffers[1] = self._buffers[2] = joined.template(self.variant.template_length)
        return self._answer(command, Confirmation.OK)

    def _do_store(self, command: int, rest: bytes) -> Reply:
        buffer, slot = rest[0], int.from_bytes(rest[1:3], "big")
        if slot >= self.variant.slots:
            return self._answer(command, Confirmation.BAD_LOCATION)
        if buffer not in self._buffers:
            return self._answer(command, Confirmation.FLASH_ERROR)
        self.library[slot] = self._buffers[buffer]
        self._save_flash()
        return self._answer(command, Confirmation.OK)

    def _do_load(self, command: int, rest: bytes) -> Reply:
        buffer, slot = rest[0], int.from_bytes(rest[1:3], "big")
        if slot >= self.variant.slots:
            return self._answer(command, Confirmation.BAD_LOCATION)
        if slot not in self.library:
            return self._answer(command, Confirmation.LOAD_FAILED)
        self._buffers[buffer] = self.library[slot]
        return self._answer(command, Confirmation.OK)

    def _do_upload(self, command: int, rest: bytes) -> Reply:
        held = self._buffers.get(rest[0])
        if held is None:
            if not self.variant.empty_buffer:
                return self._answer(command, Confirmation.UPLOAD_FAILED)
            held = bytes(self.variant.template_length)
        return self._transfer(command, held)

    def _do_upload_image(self, command: int, _rest: bytes) -> Reply:
        if self._picture is None:
            return self._answer(command, Confirmation.IMAGE_UPLOAD_FAILED)
        return self._transfer(command, self._picture.picture(*self.variant.picture))

    def _transfer(self, command: int, data: bytes) -> Reply:
        size = 32 << self.packet_code
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        frames = [
            encode(Kind.END if part is parts[-1] else Kind.DATA, part, self.address)
            for part in parts
        ]
        return Reply(command, (self._ack(Confirmation.OK), *frames))

    def _do_download(self, command: int, rest: bytes) -> Reply:
        buffer = rest[0]
        return Reply(command, (self._ack(Confirmation.OK),), after=lambda: self._await_data(buffer))

    def _do_download_image(self, command: int, _rest: bytes) -> Reply:
        # A picture is taken in and thrown away: nothing can be extracted from a stranger's.
        return Reply(command, (self._ack(Confirmation.OK),), after=lambda: self._await_data(0))

    def _await_data(self, buffer: int) -> None:
        self._incoming = _Incoming(buffer)

    def _do_delete(self, command: int, rest: bytes) -> Reply:
        first, count = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        if first + count > self.variant.slots:
            return self._answer(command, Confirmation.BAD_LOCATION)
        for slot in range(first, first + count):
            self.library.pop(slot, None)
        self._save_flash()
        return self._answer(command, Confirmation.OK)

    def _do_empty(self, command: int, _rest: bytes) -> Reply:
        self.library.clear()
        self._save_flash()
        return self._answer(command, Confirmation.OK)

    def _do_set_parameter(self, command: int, rest: bytes) -> Reply:
        number, value = rest[0], rest[1]
        limits = {4: range(1, 13), 5: range(1, 6), 6: range(4)}
        if number not in limits:
            return self._answer(command, Confirmation.BAD_REGISTER)
        if value not in limits[number]:
            return self._answer(command, Confirmation.PACKET_ERROR)
        # The answer still goes out at the old speed.
        return Reply(command, (self._ack(Confirmation.OK),), after=lambda: self._put(number, value))

    def _put(self, number: int, value: int) -> None:
        if number == 4:
            self.baud = 9_600 * value
        elif number == 5:
            self.security_level = value
        else:
            self.packet_code = value

    def _do_read_parameters(self, command: int, _rest: bytes) -> Reply:
        words = (0, self.variant.system_id, self.variant.slots, self.security_level)
        head = b"".join(word.to_bytes(2, "big") for word in words)
        tail = self.packet_code.to_bytes(2, "big") + (self.baud // 9_600).to_bytes(2, "big")
        return self._answer(command, Confirmation.OK, head + self.address + tail)

    def _do_set_password(self, command: int, rest: bytes) -> Reply:
        if len(rest) != 4:
            return self._answer(command, Confirmation.PACKET_ERROR)
        self.password = rest
        self._save_flash()
        return self._answer(command, Confirmation.OK)

    def _do_verify_password(self, command: int, rest: bytes) -> Reply:
        self._proven = rest == self.password
        return self._answer(
            command, Confirmation.OK if self._proven else Confirmation.WRONG_PASSWORD
        )

    def _do_random(self, command: int, _rest: bytes) -> Reply:
        self._draws += 1
        return self._answer(
            command, Confirmation.OK, hashlib.sha256(bytes([self._draws & 255])).digest()[:4]
        )

    def _do_set_address(self, command: int, rest: bytes) -> Reply:
        # Real modules answer from the new address already.
        self.address = rest[:4]
        return self._answer(command, Confirmation.OK)

    def _do_write_notepad(self, command: int, rest: bytes) -> Reply:
        page, text = rest[0], rest[1 : 1 + NOTEPAD_BYTES]
        if page >= NOTE_PAGES or len(text) != NOTEPAD_BYTES:
            return self._answer(command, Confirmation.PACKET_ERROR)
        self.notes[page] = text
        self._save_flash()
        return self._answer(command, Confirmation.OK)

    def _do_read_notepad(self, command: int, rest: bytes) -> Reply:
        if rest[0] >= NOTE_PAGES:
            return self._answer(command, Confirmation.PACKET_ERROR)
        return self._answer(command, Confirmation.OK, self.notes.get(rest[0], bytes(NOTEPAD_BYTES)))

    def _do_count(self, command: int, _rest: bytes) -> Reply:
        return self._answer(command, Confirmation.OK, len(self.library).to_bytes(2, "big"))

    def _do_index(self, command: int, rest: bytes) -> Reply:
        bits = bytearray(32)
        for slot in self.library:
            if slot // 256 == rest[0]:
                bits[slot % 256 // 8] |= 1 << slot % 8
        return self._answer(command, Confirmation.OK, bytes(bits))

    def _do_light(self, command: int, rest: bytes) -> Reply:
        if not self.variant.ring:
            return self._answer(command, Confirmation.PACKET_ERROR)
        self.lights.append(tuple(rest[:4]))
        return self._answer(command, Confirmation.OK)

    def _do_handshake(self, command: int, _rest: bytes) -> Reply:
        return self._answer(command, Confirmation.OK)

    _do_fast_search = _do_search
    _do_port_control = _do_check_sensor = _do_handshake

    def _do_echo(self, command: int, _rest: bytes) -> Reply:
        return self._answer(command, 0x55)

    def _do_soft_reset(self, command: int, _rest: bytes) -> Reply:
        return Reply(command, (self._ack(Confirmation.OK), b"\x55"), after=self.power_up)

    # -- flash ---------------------------------------------------------------------------------

    def _load_flash(self) -> None:
        if self._flash is None or not self._flash.exists():
            return
        kept = json.loads(self._flash.read_text("utf-8"))
        self.library = {int(slot): bytes.fromhex(text) for slot, text in kept["library"].items()}
        self.notes = {int(page): bytes.fromhex(text) for page, text in kept["notes"].items()}
        self.password = bytes.fromhex(kept["password"])

    def _save_flash(self) -> None:
        if self._flash is None:
            return
        kept = {
            "library": {slot: data.hex() for slot, data in self.library.items()},
            "notes": {page: data.hex() for page, data in self.notes.items()},
            "password": self.password.hex(),
        }
        self._flash.write_text(json.dumps(kept), "utf-8")
