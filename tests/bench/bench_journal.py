"""The journal's cost over bare SQLite, as ratios in one run.

`commit_use` does what a bare `synchronous=FULL` insert of the same bytes does, and the replay mark,
the schema check and the counters besides.
"""

from __future__ import annotations

import sqlite3
import statistics
import time

import pytest

from agent.journal.events import Decision, encode_data
from agent.journal.journal import Journal
from agent.reason import Reason

ROUNDS = 400
EVENT = Decision(
    passage="ab" * 16, decision="granted", reason=Reason.GRANTED, format="native",
    kind="rail-ticket", level=2, issuer="Ministry", key_id="00" * 8, subject="cd" * 16,
    dynamic=True, profile="railway", zone="main", direction="in", stages_ms={"decode": 12.5},
)  # fmt: skip


def bare(path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    return db


def time_us(call) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1_000


@pytest.mark.bench
def test_a_use_costs_little_more_than_a_bare_insert(tmp_path, record_property):
    db = bare(tmp_path / "bare.sqlite")
    data = encode_data(EVENT)
    times: dict[str, list[float]] = {"insert": [], "append": [], "use": [], "asked": []}
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        for number in range(ROUNDS):  # in turns, so that a busy machine slows all alike
            key = b"%d" % number
            calls = {
                "insert": lambda: db.execute("INSERT INTO event(data) VALUES(?)", (data,)),
                "append": lambda: journal.append(EVENT),
                "use": lambda key=key: journal.commit_use(key, 2**40, EVENT),
                "asked": lambda key=key: journal.was_used(key),
            }
            for name, call in calls.items():
                times[name].append(time_us(call))
    db.close()
    median = {name: statistics.median(found) for name, found in times.items()}
    ratio = {name: median[name] / median["insert"] for name in median}
    for name, found in ratio.items():
        record_property(f"{name} over bare insert", round(found, 3))
    print(
        f"\nbare {median['insert']:.0f} us; append x{ratio['append']:.2f};"
        f" commit_use x{ratio['use']:.2f}; was_used x{ratio['asked']:.3f}"
    )
    assert ratio["use"] < 2.0
    assert ratio["append"] < 1.75
    assert ratio["asked"] < 0.5
