"""The collector's database: every row once, complete up to where it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.fleet.store import BootKey, EventStore, Gap, RejectedMessage, StoredEvent, store_url
from agent.report.topics import GateAddress
from tests.support.postgresql import new_database, postgres  # noqa: F401

KEY = BootKey(GateAddress("s", "g1"), "aa" * 16)
OTHER = BootKey(GateAddress("s", "g2"), "aa" * 16)


def event(seq: int, key: BootKey = KEY) -> StoredEvent:
    return StoredEvent(key, seq, "decision", "2027-01-01T00:00:00Z", 1.0, '{"a":1}')


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request, tmp_path):
    stores = []
    if request.param == "sqlite":
        url = str(tmp_path / "f.sqlite")
    else:
        url = new_database(request.getfixturevalue("postgres"))

    def build() -> EventStore:
        stores.append(EventStore(url))
        return stores[-1]

    yield build
    for store in stores:
        store.close()


def test_the_promise_row_by_row(make):
    store = make()
    assert store.add([event(1), event(2)]) == {KEY: 2}
    assert store.add([event(2), event(1)]) == {KEY: 2}
    assert store.add([event(5), event(4)]) == {KEY: 2}
    assert store.gaps() == [Gap(KEY, 3, 3)]
    assert store.behind() == [KEY]
    assert store.gap_boots() == 1
    assert store.add([event(3)]) == {KEY: 5}
    assert store.gaps() == []
    assert store.behind() == []
    assert store.count() == 5
    assert store.add([event(1, OTHER)]) == {OTHER: 1}
    assert store.progress() == {KEY: (5, 5), OTHER: (1, 1)}
    assert [row["seq"] for row in store.read()] == [1, 2, 3, 4, 5, 1]


def test_two_collectors_share_the_work(make):
    one, two = make(), make()
    one.add([event(1)])
    two.add([event(2)])
    assert one.add([event(4)]) == {KEY: 2}
    # Row 4 is the other's; each learns of it when it looks.
    assert two.add([event(3)]) == {KEY: 3}
    assert one.behind() == [KEY]
    assert one.refresh([KEY]) == {KEY: 4}
    assert one.behind() == []
    assert two.add([event(5)]) == {KEY: 5}
    assert two.progress() == {KEY: (5, 5)}


def test_progress_is_never_taken_back(make):
    one, two = make(), make()
    one.add([event(1)])
    two.add([event(seq) for seq in range(2, 400)])
    one.add([event(1)])
    assert one.progress() == {KEY: (399, 399)}


def test_many_gaps_are_told_each(make):
    store = make()
    store.add([event(seq) for seq in (3, 4, 7, 9)])
    store.add([event(2, OTHER)])
    assert store.gaps() == [Gap(KEY, 1, 2), Gap(KEY, 5, 6), Gap(KEY, 8, 8), Gap(OTHER, 1, 1)]


def test_a_restart_knows_what_was_stored(make):
    first = make()
    first.add([event(1), event(2), event(4)])
    first.close()
    store = make()
    assert store.add([event(3)]) == {KEY: 4}


def test_pruning_takes_complete_rows_only_and_old_rows_do_not_come_back(make):
    store = make()
    store.add([event(1), event(2), event(4)])
    assert store.prune(before=0.5) == 0
    assert store.prune(before=2.0) == 2
    assert store.add([event(1), event(2)]) == {KEY: 2}
    assert [row["seq"] for row in store.read()] == [4]
    assert store.gaps() == [Gap(KEY, 3, 3)]
    again = make()
    assert again.add([event(2), event(3)]) == {KEY: 4}
    assert again.count() == 2
    assert again.prune(before=2.0) == 2
    assert again.add([event(4)]) == {KEY: 4}
    assert again.progress() == {KEY: (4, 4)}


def test_rejections_are_kept_and_counted(make):
    store = make()
    store.reject([RejectedMessage("t" * 1_000, "r\0" * 1_000, 0.0) for _ in range(2)])
    assert store.rejections() == 2


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seqs=st.lists(st.integers(1, 40), min_size=1, max_size=120),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20),
)
def test_any_order_and_any_batches_give_the_same_truth(tmp_path_factory, seqs, sizes):
    store = EventStore(str(tmp_path_factory.mktemp("s") / "f.sqlite"))
    rest, turn = list(seqs), 0
    told = 0
    while rest:
        size = sizes[turn % len(sizes)]
        batch, rest, turn = rest[:size], rest[size:], turn + 1
        told = store.add([event(seq) for seq in batch])[KEY]
        have = set(seqs) - (set(rest) - set(seqs[: len(seqs) - len(rest)]))
        expected = next(n for n in range(1, 42) if n not in have) - 1
        assert told == expected
    missing = set(range(1, max(seqs) + 1)) - set(seqs)
    assert {seq for gap in store.gaps() for seq in range(gap.first, gap.last + 1)} == missing
    assert store.count() == len(set(seqs))
    store.close()


def test_a_long_outage_filled_at_random_is_complete_in_the_end(tmp_path):
    store = EventStore(str(tmp_path / "f.sqlite"))
    seqs = list(range(1, 2_001))
    random.Random(3).shuffle(seqs)
    for start in range(0, 2_000, 50):
        store.add([event(seq) for seq in seqs[start : start + 50]])
    assert store.progress() == {KEY: (2_000, 2_000)}
    store.close()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("fleet.sqlite", "sqlite:///fleet.sqlite"), ("/var/f.db", "sqlite:////var/f.db"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"), ("sqlite:///x", "sqlite:///x"),
    ],
)  # fmt: skip
def test_urls(text, url):
    assert store_url(text) == url
