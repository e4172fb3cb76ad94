"""The gatekeeper's loop: polls the lines, serves one decider, feeds the watchdog.

Rules:
- Every turn reads the lines; nothing in a turn waits: the socket never blocks, what a decider does
  not take is kept (a bounded number) and offered again, the disk and the log are the scribe's.
- One decider at a time; a second one is answered BUSY while the first one's session lives. A
  session ends with its connection, by a long silence (`LOST_S`), or by a message that is none;
  what it asked for ends by a short one (`SILENCE_S`).
- A new pin map is taken while no fire holds the gate; one that cannot be taken leaves the old one
  in force. Only a map that could be taken is kept.
- With `leave`, for a gatekeeper that a daemon started by itself: it goes when its decider said bye,
  or its socket is gone, and no fire holds the gate. A decider that is killed does not end it.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.gatekeeper.gatekeeper import Gatekeeper
from agent.gatekeeper.kept import Scribe, load_map, load_mode
from agent.gatekeeper.pinmap import SIZE as MAP_SIZE
from agent.gatekeeper.pinmap import PinMap, PinMapError, unpack
from agent.gatekeeper.wire import (
    BUSY,
    LOST_S,
    PROTOCOL,
    REQUEST_SIZE,
    SILENCE_S,
    STATUS,
    TAKEN,
    WELCOME,
    Report,
    Request,
    WireError,
)
from agent.gatekeeper.words import MODES
from hal.errors import HalError
from hal.gpio import Gpio
from hal.service_manager import ServiceManager

__all__ = ["MAP_FILE", "MODE_FILE", "SOCKET_FILE", "Server", "listen"]

MAP_FILE, MODE_FILE, SOCKET_FILE = "pins.map", "mode", "socket"
"""Names in the gatekeeper's directory."""
_OUTBOX = 256
_REQUESTS = 64
_IDLE_HZ = 50
_STATUS_S = 0.25
_FEED_S = 0.25


def listen(path: Path, mode: int) -> socket.socket:
    """Return a listening socket at a path of any length; a dead one's is replaced.

    Raises:
        OSError: it cannot be made.
    """
    directory = os.open(path.parent, os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        path.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        path.chmod(mode)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


class _Session:
    """One connection of a decider."""

    def __init__(self, link: socket.socket, now: float) -> None:
        self.link = link
        self.number = 0
        """0 until it said hello."""
        self.heard_at = now
        self.outbox: deque[bytes] = deque(maxlen=_OUTBOX)

    def send(self, report: Report) -> None:
        self.outbox.append(report.pack())

    def receive(self) -> bytes:
        """Return the next message, an empty one where nobody is there any more.

        Raises:
            BlockingIOError: nothing was said.
        """
        try:
            return self.link.recv(REQUEST_SIZE + MAP_SIZE + 1)
        except ConnectionResetError:
            return b""

    def flush(self) -> None:
        """Send what the decider takes; keep the rest.

        Raises:
            OSError: nobody is there any more.
        """
        while self.outbox:
            try:
                self.link.send(self.outbox[0])
            except BlockingIOError:
                return
            self.outbox.popleft()


class Server:
    """The loop.

    Args:
        directory: where the mode and the map are kept.
        listener: where deciders come.
        drivers: makes the driver that a map names.
        scribe: writes to the disk and to the log.
        clock: monotonic seconds.
        service: the service manager to tell.
        leave: go when the decider left.
    """

    def __init__(
        self,
        directory: Path,
        listener: socket.socket,
        drivers: Callable[[PinMap], Gpio],
        scribe: Scribe,
        *,
        clock: Callable[[], float],
        service: ServiceManager,
        leave: bool,
    ) -> None:
        self._directory = directory
        self._listener = listener
        self._drivers = drivers
        self._scribe = scribe
        self._clock = clock
        self._service = service
        self._leave = leave
        self._keeper: Gatekeeper | None = None
        self._mode, wrong = load_mode(directory / MODE_FILE)
        if wrong:
            scribe.say(wrong)
        self._session: _Session | None = None
        self._leaving = False
        self._fire = False
        self._polls = 0
        self._late_ns = 0
        self._fed_at = -math.inf
        self._told_at: float  # set as a decider begins
        self._told: tuple[int, int]
        self._wake, self._woken = socket.socketpair()
        self._stopping = False

    # --- life

    def stop(self, *_signal: object) -> None:
        """End the loop, also while it waits; may be a signal handler."""
        self._stopping = True
        self._wake.close()

    def leave(self) -> None:
        """Go as soon as no fire holds the gate; from any thread."""
        self._leaving = True

    def boot(self) -> None:
        """Take the lines of the kept map, if there is one.

        Raises:
            HalError: they cannot be had.
        """
        pin_map, wrong = load_map(self._directory / MAP_FILE)
        if wrong:
            self._scribe.say(wrong)
        if pin_map is not None:
            self._take(pin_map)

    def run(self) -> None:
        """Serve until told to stop; every line is left safe.

        Raises:
            HalError: a line cannot be read or written any more.
        """
        self._service.ready()
        due = self._clock()
        try:
            while not self._stopping:
                now = self._clock()
                self._late_ns = max(self._late_ns, round((now - due) * 1e9))
                self.turn(now)
                if now >= due:  # a turn in between, for what was said, moves no poll
                    period = 1.0 / (self._keeper.pin_map.poll_hz if self._keeper else _IDLE_HZ)
                    due = due + period if now - due < period else now + period
                self._wait(due - self._clock())
        finally:
            self._service.stopping()
            self.close()

    def close(self) -> None:
        """Make every line safe and let go of everything; may be called twice."""
        try:
            if self._keeper is not None:
                self._keeper.safe()
        finally:
            self._end_session()
            for each in (self._listener, self._wake, self._woken):
                each.close()

    def _wait(self, seconds: float) -> None:
        """Until the next poll is due or something was said: a grant does not wait for the poll."""
        listening = [self._listener, self._woken]
        if self._session is not None:
            listening.append(self._session.link)
        select.select(listening, (), (), max(0.0, seconds))

    # --- one turn

    def turn(self, now: float) -> None:
        """Look at the lines, the decider and the watchdog.

        Args:
            now: monotonic seconds.

        Raises:
            HalError: a line cannot be read or written.
        """
        self._poll(now)
        self._accept(now)
        if self._hear(now):
            self._poll(now)
        self._tell(now)
        if now - self._fed_at >= _FEED_S:
            self._fed_at = now
            self._service.alive()
        if self._may_leave():
            self._stopping = True

    def _poll(self, now: float) -> None:
        if self._keeper is None or self._stopping:
            return
        events = self._keeper.tick(now)
        self._polls += 1
        if self._keeper.active("fire") != self._fire:
            self._fire = not self._fire
            self._service.status("fire: the gate is held open" if self._fire else "serving")
        if self._session is not None and self._keeper.attended:
            for event in events:
                self._session.send(Report.of(event, self._session.number))

    def _accept(self, now: float) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        link.setblocking(False)
        if self._session is not None and self._session.number:
            refused = _Session(link, now)
            refused.send(Report(BUSY))
            self._end(refused)
            return
        self._end_session()
        self._session = _Session(link, now)

    def _hear(self, now: float) -> bool:
        """Serve what was asked; return whether anything was."""
        session = self._session
        if session is None:
            return False
        heard = False
        for _ in range(_REQUESTS):
            try:
                message = session.receive()
            except BlockingIOError:
                break
            if not message:
                self._end_session("the decider is gone")
                return True
            heard = True
            session.heard_at = now
            try:
                self._serve(session, message, now)
            except WireError as error:
                self._end_session(f"the decider's session ended: {error}")
            if self._session is None:
                return True
        silence_s = now - session.heard_at
        if silence_s > LOST_S:
            self._end_session("the decider fell silent")
            return True
        if self._keeper is not None:
            self._keeper.hush(silence_s > SILENCE_S)
        return heard

    def _serve(self, session: _Session, message: bytes, now: float) -> None:
        request = Request.unpack(message[:REQUEST_SIZE])
        record = message[REQUEST_SIZE:]
        if bool(record) != (request.op == "map"):
            raise WireError("a message of another size")
        if request.op == "hello":
            if request.flag != PROTOCOL or session.number:
                raise WireError("another protocol, or a second hello")
            self._welcome(session)
            return
        if not session.number or request.session != session.number:
            raise WireError("a message of another session")
        if request.op == "map":
            self._take_new(session, record)
        elif request.op == "bye":
            self._bye(now)
        elif self._keeper is not None and self._keeper.attended:
            self._keeper.ask(request, now)

    def _bye(self, now: float) -> None:
        """Close the gate before the decider hears that it may go."""
        self._leaving = self._leave
        if self._keeper is not None:
            self._keeper.abandon()
            self._poll(now)
            if self._may_leave():
                self._stopping = True
                self._keeper.safe()
        self._end_session("the decider left")

    def _may_leave(self) -> bool:
        return self._leaving and not (self._keeper is not None and self._keeper.active("fire"))

    def _welcome(self, session: _Session) -> None:
        session.number = int.from_bytes(os.urandom(8)) | 1
        keeper = self._keeper
        mode = MODES.index(self._mode if keeper is None else keeper.mode)
        session.send(Report(WELCOME, mode, session=session.number))
        self._leaving = False

    # --- the pin map

    def _take_new(self, session: _Session, record: bytes) -> None:
        """Bring a decider's map into force, or say why not."""
        wrong = self._change(record)
        keeper = self._keeper
        if wrong or keeper is None:
            session.send(Report(TAKEN, session=session.number, text=wrong))
            return
        session.send(Report(TAKEN, 1, keeper.unattended, session=session.number))
        for event in keeper.attend():
            session.send(Report.of(event, session.number))
        self._told_at = -math.inf
        self._scribe.say("a decider is there")

    def _change(self, record: bytes) -> str:
        try:
            pin_map = unpack(record)
        except PinMapError as error:
            return str(error)
        old = self._keeper
        if old is not None and old.pin_map == pin_map:
            return ""
        if old is not None and old.active("fire"):
            return "a fire alarm holds the gate: the pins stay as they are"
        if old is not None:
            old.safe()
        try:
            self._take(pin_map)
        except HalError as error:
            if old is not None:
                self._take(old.pin_map)
            return str(error)
        self._scribe.keep(self._directory / MAP_FILE, record)
        return ""

    def _take(self, pin_map: PinMap) -> None:
        old = self._keeper
        mode = self._mode if old is None else old.mode
        keeper = Gatekeeper(self._drivers(pin_map), pin_map, mode, self._keep_mode)
        keeper.setup()
        if old is not None:
            keeper.unattended = old.unattended
        self._keeper = keeper

    def _keep_mode(self, mode: object) -> None:
        self._scribe.keep(self._directory / MODE_FILE, f"{mode}\n".encode())

    # --- telling

    def _tell(self, now: float) -> None:
        session = self._session
        if session is None:
            return
        try:
            session.flush()
            if not session.outbox and self._keeper is not None and self._keeper.attended:
                self._tell_status(session, self._keeper, now)
                session.flush()
        except OSError as error:
            self._end_session(f"the decider is gone: {error.strerror}")

    def _tell_status(self, session: _Session, keeper: Gatekeeper, now: float) -> None:
        """Tell how the lines are, where that is news or was not told for a while."""
        bits = (
            keeper.relay_on,
            keeper.active("fire"),
            keeper.active("tamper"),
            keeper.active("door"),
            self._scribe.behind,
        )
        state = (sum(1 << place for place, on in enumerate(bits) if on), keeper.levels)
        if now - self._told_at < _STATUS_S and state == self._told:
            return
        self._told, self._told_at = state, now
        polls, late_ns, self._late_ns = self._polls & 0xFFFFFFFF, self._late_ns, 0
        number = session.number
        session.send(Report(STATUS, *state, polls=polls, session=number, value=late_ns))

    def _end_session(self, why: str = "") -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._end(session)
        if session.number and self._keeper is not None:
            self._keeper.abandon()
        if why and session.number:
            self._scribe.say(why)

    @staticmethod
    def _end(session: _Session) -> None:
        """Say what is left and close; with words unread the other end would hear a reset."""
        with contextlib.suppress(OSError):  # nothing more was said, or nobody is there any more
            session.flush()
            for _ in range(_REQUESTS):
                session.receive()
        session.link.close()
