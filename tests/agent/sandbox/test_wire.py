"""The envelope of a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.wire import WireError, pack_budget, unpack_budget


@given(st.binary(max_size=40), st.integers(1, 60_000))
def test_a_job_and_its_time_survive_the_wire(job, budget_ms):
    assert unpack_budget(pack_budget(job, budget_ms / 1000)) == (job, budget_ms / 1000)


@pytest.mark.parametrize("budget_s", [0.0, 0.0001, -1.0])
def test_no_job_is_without_time(budget_s):
    assert unpack_budget(pack_budget(b"", budget_s)) == (b"", 0.001)


@pytest.mark.parametrize("length", range(4))
def test_less_than_an_envelope_is_refused(length):
    with pytest.raises(WireError, match=f"{length} bytes"):
        unpack_budget(bytes(length))
