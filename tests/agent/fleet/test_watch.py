"""The dashboard in every width: nothing is wider, nothing that matters is left out."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from agent.fleet.live import FleetView
from agent.fleet.watch import columns, dashboard, shortened
from agent.journal.events import Decision
from agent.reason import Reason
from agent.report.payloads import GateState, OutboxReport, StateReport, encode
from agent.report.topics import GateAddress

NOW = 1_800_000_000.0
LONG = GateAddress("international-airport-terminal-two", "gate-arrivals-upper-level-017")


def state(**more) -> bytes:
    report = OutboxReport(boot_id="ab", last_seq=1, unacknowledged=123_456)
    gate = GateState(
        **{"mode": "maintenance", "trust_age_s": 90_000, "latency_ms": 1_234.5, **more}
    )
    return encode(StateReport(gate=gate, outbox=report))


def fleet(expected=None) -> FleetView:
    """Return a fleet in which everything is as long as it gets."""
    view = FleetView(lambda: NOW - 3_000, expected)
    for address, status in [
        (GateAddress("s", "a"), b"online"), (GateAddress("s", "b"), b"offline"),
        (GateAddress("s", "c"), b"stopped"), (LONG, b"online"), (GateAddress("s", "d"), b"online"),
        (GateAddress("\u4e0a\u6d77" * 12, "\u95f8\u673a" * 8), b"online"),
    ]:  # fmt: skip
        view.feed(address.topic("status"), status)
        view.feed(address.topic("state"), state())
    view.feed(
        LONG.topic("state"), state(fire=True, tamper=True, health="failed", clock_trusted=False)
    )
    view.feed(
        GateAddress("s", "d").topic("state"), state(faults=("camera:timeout", "face:failed", "x:y"))
    )
    decision = Decision(passage="ab" * 16, decision="denied", reason=Reason.ISSUER_KEY_EXPIRED)
    gate = view.gates[LONG]
    gate.last_decision, gate.last_reason, gate.last_at = (
        "denied",
        decision.reason.value,
        NOW - 9_999,
    )
    return view


def drawn(view: FleetView, width: int, *, colours: bool = False, encoding="utf-8", **more) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(
        file=file, width=width, highlight=False, force_terminal=colours, no_color=not colours,
        color_system="standard" if colours else None,
    )  # fmt: skip
    console.print(dashboard(view, now=NOW, connected=True, width=width, **more), soft_wrap=True)
    file.seek(0)
    return file.read()


@pytest.mark.parametrize("width", [40, 50, 60, 79, 80, 100, 132, 250])
def test_no_line_is_wider_than_the_terminal_and_none_is_broken(width):
    view = fleet()
    lines = drawn(view, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 2 + len(view.gates)


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (60, ["gate", "status", "mode", "problems"]),
        (80, ["gate", "status", "mode", "problems", "last", "wait"]),
        (132, ["gate", "status", "mode", "problems", "last", "/min", "wait", "trust", "ms"]),
    ],
)
def test_the_most_telling_columns_stay(width, names):
    found = columns(width, 60)
    assert list(found) == names
    assert sum(found.values()) + len(found) - 1 == width


@pytest.mark.parametrize("width", [60, 80])
def test_states_are_words_worst_first_and_names_keep_their_ends(width):
    lines = drawn(fleet(), width).splitlines()
    assert lines[0].startswith("6 gates, 4 online, 4 with problems")
    first = lines[2]
    assert first.startswith("..")
    assert "level-017 " in first
    assert "fire, tamper" in first
    words = [line.split()[:2] for line in lines[3:]]
    assert words == [
        ["s/b", "offline"], ["s/c", "stopped"], ["s/d", "online"], ["s/a", "online"],
        [words[-1][0], "online"],
    ]  # fmt: skip
    assert "camera:timeout, +2" in lines[5]


def test_colours_add_nothing_but_themselves():
    plain, coloured = drawn(fleet(), 80), drawn(fleet(), 80, colours=True)
    assert "\x1b[31moffline" in coloured
    assert "\x1b" not in plain

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_terminal_of_ascii_gets_ascii():
    view = FleetView()
    view.feed(LONG.topic("status"), b"online")
    assert drawn(view, 60).isascii()
    assert "?" not in drawn(view, 60, encoding="ascii")


def test_what_would_move_the_cursor_is_a_question_mark():
    view = FleetView()
    view.feed("gates/v1/s/\x1b[2Jg\u202e/status", b"online")
    text = drawn(view, 80)
    assert "\x1b" not in text
    assert "s/?[2Jg?" in text


@pytest.mark.parametrize(
    ("text", "size", "keep_end", "expected"),
    [
        ("abcdef", 6, False, "abcdef"), ("abcdefg", 6, False, "abcd.."),
        ("abcdefg", 6, True, "..defg"), ("\u95f8\u673a\u95f8\u673a", 7, False, "\u95f8\u673a.."),
        ("\u95f8\u673a\u95f8\u673a", 7, True, "..\u95f8\u673a"), ("a b c d", 5, False, "a b.."),
    ],
)  # fmt: skip
def test_shortened(text, size, keep_end, expected):
    assert shortened(text, size, keep_end=keep_end) == expected


def test_expected_gates_that_never_came_are_shown_and_counted():
    view = fleet(expected={GateAddress("s", "a"), GateAddress("s", "z"), LONG})
    text = drawn(view, 80)
    assert ", 1 never came" in text.splitlines()[0]
    assert ["s/z", "absent"] in [line.split()[:2] for line in text.splitlines()]
    assert "unlisted" in next(line for line in text.splitlines() if line.startswith("s/d "))
    assert "unlisted" not in next(line for line in text.splitlines() if line.startswith("s/a "))
    view.feed(GateAddress("s", "z").topic("status"), b"online")
    assert "never came" not in drawn(view, 80)


def test_more_gates_than_lines_are_a_number():
    lines = drawn(fleet(), 80, shown=2).splitlines()
    assert len(lines) == 5
    assert lines[-1] == "4 more"


def test_a_deleted_message_makes_no_gate():
    view = FleetView()
    view.feed(LONG.topic("status"), b"")
    assert view.gates == {}


def test_no_gate_at_all_is_a_title_and_a_head():
    assert len(drawn(FleetView(), 80).splitlines()) == 2
