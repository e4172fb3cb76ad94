"""Which `/dev/videoN` is the camera that the settings name, also after it was out of its socket.

Rules:
- A webcam has two nodes, of which one delivers pictures; a Raspberry Pi has a dozen that belong to
  its codec. `index` counts the nodes that deliver a format we read, those on USB first.
- A name below `/dev/v4l/` (by-id, by-path) is a link that udev keeps right: it is opened as it is.
- What was found by `index` or as `/dev/videoN` is remembered by its socket and its maker's name:
  the kernel may give another number to a camera that comes back, and its old one to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hal.errors import DeviceUnavailable
from hal.library import explain
from hal.v4l2.device import Device, Identity
from hal.v4l2.port import Machine

__all__ = ["FORMATS", "Found", "Source"]

FORMATS: Final[tuple[str, ...]] = ("MJPG", "YUYV", "GREY")
"""Those that are read, the best first: a USB 2 bus carries 30 MJPG pictures of 1280x720 a second,
and 10 of YUYV."""
LINKS: Final = "/dev/v4l/"


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that was found; `device` is open."""

    path: str
    device: Device
    identity: Identity


class Source:
    """A camera by its place in the settings; opens the same one again and again.

    Args:
        machine: where devices are.
        device: a path; empty takes `index`.
        index: of the capture nodes.
        who: begins every message, as `camera code`.
    """

    def __init__(self, machine: Machine, device: str, index: int, who: str) -> None:
        self._machine = machine
        self._path = device
        self._index = index
        self._who = who
        self._known: tuple[str, str] | None = None
        self._turn = 0

    def open(self) -> Found:
        """Open it.

        Raises:
            DeviceUnavailable: it is not there (again), or not ours; the message says what to do.
        """
        if self._path.startswith(LINKS):
            return self._at(self._path)
        if self._known is not None:
            return self._again(self._known)
        found = self._at(self._path) if self._path else self._nth()
        self._remember(found)
        return found

    def _at(self, path: str) -> Found:
        device = self._opened(path)
        try:
            identity = device.identity()
        except OSError as error:
            device.close()
            raise DeviceUnavailable(
                f"{self._who}: {path} is no video device: {explain(error)}"
            ) from error
        if not identity.captures:
            device.close()
            raise DeviceUnavailable(
                f"{self._who}: {path} ({identity.card}) delivers no pictures; a webcam's first "
                "node does: take a lower number, or the link that ends in video-index0"
            )
        return Found(path, device, identity)

    def _nth(self) -> Found:
        refused: list[str] = []
        count = 0
        for found in self._cameras(refused):
            if count == self._index:
                return found
            count += 1
            found.device.close()
        if refused:
            raise DeviceUnavailable(f"{self._who}: {refused[0]}")
        raise DeviceUnavailable(
            f"{self._who}: there is no webcam {self._index}: {count or 'none'} found (they count "
            "from 0); plug one in; ls -l /dev/v4l/by-id shows what is"
        )

    def _again(self, known: tuple[str, str]) -> Found:
        turn = 0
        for found in self._cameras([]):
            if (found.identity.bus, found.identity.card) == known:
                if turn == self._turn:
                    return found
                turn += 1
            found.device.close()
        card, bus = known[1], known[0]
        raise DeviceUnavailable(f"{self._who}: {card} is not at {bus} any more; plug it in again")

    def _remember(self, found: Found) -> None:
        """Keep who it is, and which of several nodes that say the same of themselves."""
        known = (found.identity.bus, found.identity.card)
        before = 0
        for other in self._cameras([]):
            other.device.close()
            if other.path == found.path:
                break
            before += (other.identity.bus, other.identity.card) == known
        self._known, self._turn = known, before

    def _cameras(self, refused: list[str]) -> Iterator[Found]:
        """Yield the cameras, open, those on USB first; whoever takes one closes it."""
        for usb in (True, False):
            for path in self._machine.nodes():
                try:
                    device = Device(self._machine.open(path))
                except OSError as error:
                    refused.append(f"{path}: {explain(error)}")
                    continue
                try:
                    identity = device.identity()
                    ours = (
                        identity.captures
                        and identity.bus.startswith("usb-") is usb
                        and not set(FORMATS).isdisjoint(device.formats())
                    )
                except OSError as error:
                    refused.append(f"{path}: {explain(error)}")
                    ours = False
                if ours:
                    yield Found(path, device, identity)
                else:
                    device.close()

    def _opened(self, path: str) -> Device:
        try:
            return Device(self._machine.open(path))
        except OSError as error:
            raise DeviceUnavailable(
                f"{self._who}: {explain(error, 'plug it in; ls -l /dev/v4l/by-id shows what is')}"
            ) from error
