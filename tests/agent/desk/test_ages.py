"""Which ages go on a credential, by the last place on earth where the day begins."""

from __future__ import annotations

import datetime as dt

import pytest

from agent.desk.ages import reached

# Where it is the 23rd everywhere from 12:00 UTC on.
DAY = int(dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC).timestamp())
CASES = [
    ("2008-11-23", DAY, (16, 18)),
    ("2008-11-23", DAY - 1, (16,)),
    ("2008-11-24", DAY, (16,)),
    ("2008-12-01", DAY, (16,)),
    ("2008-10-30", DAY, (16, 18)),
    ("1990-01-01", DAY, (16, 18, 21)),
    ("2020-01-01", DAY, ()),
    ("", DAY, ()),
]


@pytest.mark.parametrize(("born", "now", "ages"), CASES)
def test_an_age_counts_once_it_is_reached_everywhere(born, now, ages):
    assert reached(born, (16, 18, 21), now) == ages


def test_who_was_born_on_the_29th_of_february_is_older_in_march():
    eve = int(dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC).timestamp())
    assert reached("2008-02-29", (18,), eve) == ()
    assert reached("2008-02-29", (18,), eve + 86_400) == (18,)
