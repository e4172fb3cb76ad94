"""The deciding process's end of the line to the gatekeeper, and the thread that keeps it.

Rules:
- Requests go out at once, from whoever asks; the thread beats, hears, and begins a new session when
  the old one ended (the gatekeeper was restarted, or this process was stopped for too long).
- No session means that nothing opens: what was asked for meanwhile is lost, but for what lasts.
- Without a session for `patience_s` the gate is dead, and the daemon ends.
- What the gatekeeper reports is handed on at once; an event that nobody takes is kept and offered
  again.
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from agent.gate.asks import Asks
from agent.gate.cards import CardOutput
from agent.gate.heard import heard
from agent.gatekeeper.pinmap import PinMap, pack
from agent.gatekeeper.wire import (
    BEAT_S,
    BUSY,
    EVENTS,
    PROTOCOL,
    REPORT_SIZE,
    STATUS,
    TAKEN,
    WELCOME,
    Report,
    Request,
    WireError,
)
from agent.gatekeeper.words import INPUTS, MODES, Mode
from agent.passage.events import GateFault, InputEvent
from hal.errors import DeviceUnavailable

__all__ = ["ANSWER_S", "Connect", "Gate", "GateHealth", "end_session"]

_LOG = logging.getLogger(__name__)
_UNTOLD = 256
ANSWER_S = 5.0
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
_LOST = "no session with the gatekeeper: nothing opens"

Connect = Callable[[], socket.socket]
"""Reaches the gatekeeper; raises `DeviceUnavailable`."""


@dataclass(frozen=True, slots=True)
class GateHealth:
    """How the gate is, as one value.

    Attributes:
        alive: there is a session with the gatekeeper.
        polls: of the gatekeeper; the watchdog looks whether it grows.
        error: why the gate is dead, empty while it lives.
        relay_on: any relay is on.
        fire, tamper, door_open: the inputs as believed.
        not_saved: the chosen mode or the pin map is not on the disk yet.
        late_ms: how late the latest poll of the last quarter second was.
        active: the inputs whose level is the active one, not debounced.
    """

    alive: bool = False
    polls: int = 0
    error: str = ""
    relay_on: bool = False
    fire: bool = False
    tamper: bool = False
    door_open: bool = False
    not_saved: bool = False
    late_ms: float = 0.0
    active: frozenset[str] = frozenset()


@contextmanager
def _asking(link: socket.socket) -> Iterator[None]:
    """Close the link where the gatekeeper refuses, or does not answer as it should."""
    try:
        yield
    except BaseException as error:
        link.close()
        if isinstance(error, DeviceUnavailable) or not isinstance(error, (OSError, WireError)):
            raise
        raise DeviceUnavailable(f"the gatekeeper does not answer: {error}") from None


def _greet(link: socket.socket) -> Report:
    """Say hello; return the WELCOME.

    Raises:
        DeviceUnavailable: another decider is there, or nobody answers.
    """
    link.settimeout(ANSWER_S)
    with suppress(BrokenPipeError):  # refused before it was greeted: the reason is there to read
        link.send(Request("hello", PROTOCOL).pack())
    return _answer(link, WELCOME)


def _answer(link: socket.socket, kind: int) -> Report:
    """Wait for a report of a kind; nothing else comes before it."""
    message = link.recv(REPORT_SIZE + 1)
    if not message:
        raise DeviceUnavailable("the gatekeeper refused this session")
    report = Report.unpack(message)
    if report.kind == BUSY:
        raise DeviceUnavailable("another process decides for this gate; stop it first")
    if report.kind != kind:
        raise WireError("another answer than was asked for")
    return report


def _leave(link: socket.socket, session: int) -> None:
    """Say goodbye, and wait until the gatekeeper has closed the gate."""
    link.settimeout(ANSWER_S)
    link.send(Request("bye", session=session).pack())
    while link.recv(REPORT_SIZE):
        continue


def end_session(link: socket.socket) -> None:
    """Have a gatekeeper close what nobody decides for; the link is closed.

    Raises:
        DeviceUnavailable: somebody decides for it, or it does not answer.
    """
    with _asking(link):
        _leave(link, _greet(link).session)
    link.close()


class Gate(Asks):
    """One gate, by way of its gatekeeper.

    Args:
        connect: reaches the gatekeeper.
        pin_map: the lines, as the settings have them.
        on_input: called in the gate's thread with every input event; must only hand it on, at
            once. Where it raises `queue.Full` the event is kept and offered again.
        clock: monotonic seconds.
        card_output: makes what takes grants in the relay's place, given how to send a request.
        patience_s: how long there may be no session.
    """

    def __init__(
        self,
        connect: Connect,
        pin_map: PinMap,
        on_input: Callable[[InputEvent], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        card_output: Callable[[Callable[[Request], None]], CardOutput | None] = lambda _send: None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        super().__init__(
            self._request,
            lambda: round(clock() * 1e9),
            card_output=card_output(self._request),
            tell=lambda words: self._happened(GateFault(words)),
        )
        self._connect = connect
        self._pin_map = pin_map
        self._on_input = on_input
        self._clock = clock
        self._patience_s = patience_s
        self._link: socket.socket | None = None
        self._session: int  # set with each link
        self._lock = threading.Lock()
        self._untold: deque[InputEvent] = deque(maxlen=_UNTOLD)
        self._health = GateHealth()
        self._lost_at: float | None = None
        self._beat_at: float  # set with each link
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dead = threading.Event()
        """Set when there was no session for too long; the daemon then stops."""

    # --- life

    def begin(self) -> Mode:
        """Begin a session and bring the pin map into force; return the mode that was kept.

        Raises:
            DeviceUnavailable: no gatekeeper, another decider, or a line that is not to be had.
        """
        link = self._connect()
        with _asking(link):
            welcome = _greet(link)
            link.send(Request("map", session=welcome.session).pack() + pack(self._pin_map))
            taken = _answer(link, TAKEN)
            if not taken.a:
                raise DeviceUnavailable(taken.text)
        link.setblocking(False)
        with self._lock:
            self._link, self._session = link, welcome.session
        self._beat_at = self._clock()
        if taken.b:
            self._happened(GateFault(f"{taken.b} presses of the release while nobody decided"))
        for request in self.lasting():
            self._request(request)
        return MODES[welcome.a]

    def start(self) -> None:
        """Run the thread; `begin` came before."""
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the gatekeeper in good order; may be called twice."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=ANSWER_S)
        self._bye()
        if self._card_output is not None:
            self._card_output.close()

    def _bye(self) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is None:
            return
        try:
            _leave(link, self._session)
        except OSError as error:
            _LOG.warning("the gatekeeper did not answer the goodbye: %s", error)
        finally:
            link.close()

    def __enter__(self) -> Self:
        self.begin()
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def health(self) -> GateHealth:
        """Return how the gate is."""
        return self._health

    # --- the thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self.dead.is_set():
                self._wait()
                self.turn()
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon must know
            _LOG.exception("the gate's thread ended")
            self._die(f"{type(error).__name__}: {error}")

    def _wait(self) -> None:
        """Until the gatekeeper says something, or the next beat or try is due."""
        link = self._link
        if link is None:
            self._stop.wait(_PAUSE_S)
            return
        wait = max(0.0, self._beat_at + BEAT_S - self._clock())
        if self._untold:
            wait = min(wait, _PAUSE_S)
        try:
            select.select([link], (), (), wait)
        except (OSError, ValueError):  # closed meanwhile by a request that failed
            return

    def turn(self) -> None:
        """Hear what there is, beat where it is time, hand on; begin again without a session."""
        now = self._clock()
        if self._link is None:
            self._again(now)
        self._hear()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._request(Request("beat"))
        self._hand_on()

    def _hear(self) -> None:
        while (link := self._link) is not None:
            try:
                if message := link.recv(REPORT_SIZE + 1):
                    self._take(Report.unpack(message))
                else:
                    self._lose("the gatekeeper ended it")
            except BlockingIOError:
                return
            except (OSError, WireError) as error:
                self._lose(str(error))

    def _take(self, report: Report) -> None:
        if report.kind == EVENTS:
            self._happened(heard(report.event()))
        elif report.kind == STATUS:
            self._health = GateHealth(
                alive=True,
                polls=report.polls,
                relay_on=bool(report.a & 1),
                fire=bool(report.a & 2),
                tamper=bool(report.a & 4),
                door_open=bool(report.a & 8),
                not_saved=bool(report.a & 16),
                late_ms=report.value / 1e6,
                active=frozenset(
                    name for place, name in enumerate(INPUTS) if report.b >> place & 1
                ),
            )

    def _again(self, now: float) -> None:
        """Begin a new session, or give up after a while."""
        if self._lost_at is None:
            self._lost_at = now
        try:
            self.begin()
        except DeviceUnavailable as error:
            if now - self._lost_at > self._patience_s:
                self._die(str(error))
            return
        self._lost_at = None
        _LOG.warning("a new session with the gatekeeper")
        self._happened(GateFault(_LOST, active=False))

    def _die(self, why: str) -> None:
        _LOG.error("the gatekeeper is gone: %s", why)
        self._health = GateHealth(error=why)
        self.dead.set()

    def _lose(self, why: str) -> None:
        """Note that the session is over."""
        with self._lock:
            link, self._link = self._link, None
        if link is None:
            return
        link.close()
        self._health = GateHealth(polls=self._health.polls)
        _LOG.warning("the session with the gatekeeper ended: %s", why)
        self._happened(GateFault(_LOST))

    def _request(self, request: Request) -> None:
        with self._lock:
            if self._link is None:
                return
            message = request._replace(session=self._session).pack()
            try:
                self._link.send(message)
            except OSError as error:
                why = str(error)
            else:
                return
        self._lose(why)

    def _happened(self, event: InputEvent) -> None:
        self._untold.append(event)

    def _hand_on(self) -> None:
        """Hand on what was heard; a controller that stands still does not stop the gate."""
        while self._untold:
            try:
                self._on_input(self._untold[0])
            except queue.Full:
                return
            self._untold.popleft()
