"""What counts as used when the journal that would know was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.controller.memory import JournalMemory
from agent.credential.model import Credential
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from tests.agent.policy.support import credential

T0 = 1_800_000_000


def remembering(journal: Journal, **more: int) -> JournalMemory:
    return JournalMemory(
        journal, SubjectHasher(bytes(32)), zone="main", passback_s=600, reuse_s=10, began_at=T0,
        failures=3, enrolled=lambda _subject: False, **more,
    )  # fmt: skip


def shown_at(second: int) -> Credential:
    return credential(dynamic=True, presented_at=second)


@pytest.mark.parametrize(("more", "ahead"), [({}, 5), ({"future_s": 0}, 0), ({"future_s": 60}, 60)])
def test_a_clock_that_may_be_ahead_may_have_shown_its_code_before(
    tmp_path: Path, more: dict[str, int], ahead: int
) -> None:
    path = tmp_path / "journal.sqlite"
    Journal.open(path, clock=lambda: float(T0)).close()
    for file in tmp_path.glob("journal.sqlite*"):
        if not file.name.endswith(".lock"):
            file.unlink()
    journal = Journal.open(path, clock=lambda: float(T0))
    try:
        assert journal.lost
        memory = remembering(journal, **more)
        assert memory.was_used(shown_at(T0 + ahead), T0)
        assert not memory.was_used(shown_at(T0 + ahead + 1), T0)
    finally:
        journal.close()
