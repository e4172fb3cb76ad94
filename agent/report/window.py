"""What to send next: live events first, then what an outage left behind, at a bounded rate.

Rules:
- A row written while connected is *live* and goes at once; the *backlog* (rows that waited when the
  connection came up) and replays share a token bucket, so that they never starve live rows.
- The broker's word frees nothing. Rows that were sent and not acknowledged within `resend_s` are
  sent again from the oldest on, a probe of few rows only until the collector answers, and each time
  after a longer wait: a collector that is down for a week costs next to nothing.
- Pure: no clock, no socket; monotonic seconds come in as `now`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.journal.model import Outbox, Position, Row

__all__ = ["Window"]

PROBE_ROWS = 64
_LONGEST_RESEND_S = 600.0
_REPLAYS = 64


@dataclass(slots=True)
class _Replay:
    boot_id: str
    next_seq: int
    last_seq: int


class Window:
    """Chooses rows of an outbox for one reporter.

    Args:
        outbox: the rows.
        rate: backlog rows a second.
        resend_s: how long to wait for the collector before sending again.

    Attributes:
        resent: rows chosen a second time because no acknowledgement came.
    """

    def __init__(self, outbox: Outbox, *, rate: float, resend_s: float = 20.0) -> None:
        self._outbox = outbox
        self._rate = rate
        self._first_resend_s = resend_s
        self._resend_s = resend_s
        self._tokens = 0.0
        self._filled_at = 0.0
        self._live = Position(0, 0)
        self._cursor = Position(0, 0)
        self._end = Position(0, 0)
        self._probe: int | None = None
        self._progress_at = 0.0
        self._paused_until = 0.0
        self._replays: deque[_Replay] = deque(maxlen=_REPLAYS)
        self.resent = 0

    def opened(self, now: float) -> None:
        """Begin with a new connection: everything that waits is backlog."""
        self._live = self._outbox.head()
        self._tokens = min(self._rate, float(PROBE_ROWS))
        self._filled_at = now
        self._paused_until = 0.0
        self._resend_s = self._first_resend_s
        self._rewind(now, None)

    def acknowledged(self, now: float) -> None:
        """Note that the collector answered; probing is over."""
        self._progress_at = now
        self._resend_s = self._first_resend_s
        self._probe = None

    def pause(self, now: float, seconds: float) -> None:
        """Hold the backlog: nobody listens, or the broker refuses."""
        self._paused_until = now + seconds

    def replay(self, boot_id: str, first: int, last: int) -> None:
        """Send rows again that the collector asked for; the oldest wish is dropped when many.

        Whoever asks listens, so a pause is over.
        """
        self._paused_until = 0.0
        self._replays.append(_Replay(boot_id, first, last))

    def take(self, now: float, room: int) -> list[Row]:
        """Return the rows to send now, at most `room`."""
        rows = self._take_live(now, room)
        room -= len(rows)
        self._refill(now)
        if room > 0 and now >= self._paused_until:
            rows += self._take_replays(room)
            rows += self._take_backlog(now, room)
        return rows

    def wait_s(self, now: float) -> float:
        """Return how long until another row may go, a wish for the caller's select."""
        if self._outbox.head() > self._live:
            return 0.0
        if self._replays or self._cursor < self._end:
            paused = self._paused_until - now
            return max(paused, (1.0 - self._tokens) / self._rate, 0.0)
        return 1.0

    def _take_live(self, now: float, room: int) -> list[Row]:
        head = self._outbox.head()
        if room <= 0 or head <= self._live:
            return []
        rows = self._outbox.pending(after=self._live, upto=head, limit=room)
        self._live = rows[-1].position if rows else head
        if rows and rows[0].position == self._outbox.first_pending():
            self._progress_at = now
        return rows

    def _take_replays(self, room: int) -> list[Row]:
        rows: list[Row] = []
        while self._replays:
            wish = self._replays[0]
            limit = min(room - len(rows), int(self._tokens))
            if limit <= 0:
                break
            found = self._outbox.replay(wish.boot_id, wish.next_seq, wish.last_seq, limit)
            if len(found) < limit or found[-1].seq >= wish.last_seq:
                self._replays.popleft()
            else:
                wish.next_seq = found[-1].seq + 1
            self._tokens -= len(found)
            rows += found
        return rows

    def _take_backlog(self, now: float, room: int) -> list[Row]:
        if self._cursor >= self._end:
            self._resend_when_due(now)
        limit = min(room, int(self._tokens))
        if self._probe is not None:
            limit = min(limit, self._probe)
        if limit <= 0 or self._cursor >= self._end:
            return []
        rows = self._outbox.pending(after=self._cursor, upto=self._end, limit=limit)
        self._cursor = rows[-1].position if rows else self._end
        self._tokens -= len(rows)
        if self._probe is None:
            self._progress_at = now
        else:
            self._probe -= len(rows)
            self.resent += len(rows)
            if self._probe <= 0:
                self._cursor = self._end
        return rows

    def _resend_when_due(self, now: float) -> None:
        """Go back to the oldest waiting row when the collector was silent for too long."""
        first = self._outbox.first_pending()
        if first is None:
            self._progress_at = now
        elif now - self._progress_at >= self._resend_s:
            self._resend_s = min(self._resend_s * 2, _LONGEST_RESEND_S)
            self._rewind(now, PROBE_ROWS)

    def _rewind(self, now: float, probe: int | None) -> None:
        first = self._outbox.first_pending()
        self._end = self._live
        self._cursor = self._end if first is None else Position(first.boot, first.seq - 1)
        self._probe = probe
        self._progress_at = now

    def _refill(self, now: float) -> None:
        most = max(1.0, min(self._rate, float(PROBE_ROWS)))
        self._tokens = min(most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
