"""What the desk adds to signing and drawing five hundred cards, and to opening its members.

Ratios of the processor's time, so that what else the machine does counts on neither side; how long it
took is printed beside them. Run as a script or with `pytest -m bench tests/bench/bench_desk.py`.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.credential.model import StatusReference
from agent.desk.cards import CardJob, Layout
from agent.desk.desk import Desk
from agent.desk.export import export_csv
from agent.desk.importing import apply, plan
from agent.desk.members import Members
from agent.desk.tables import members as table
from agent.issuing.issue import Medium, present, qr_symbol, sign_credential
from tests.support.desks import DAY, NOW, a_desk, a_person

pytestmark = pytest.mark.bench

CARDS = 500
PEOPLE = 10_000
CARDS_LIMIT = 1.3
"""Cards with their rows, journal and pages, against signing and drawing them and nothing else."""
SEARCH_LIMIT = 12.0
"""A search of all members, against decrypting what is sealed of them and nothing else."""


class Silent:
    """Progress that nobody looks at."""

    def step(self, done: int) -> None:
        """Take it."""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of the clock and of the processor."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s ({self.cpu_s:.2f} s of the processor)"


def timed(work: Callable[[], object]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def report(name: str, one: Took, other: Took, limit: float) -> float:
    ratio = one.cpu_s / other.cpu_s
    print(f"{name}: {one}, bare {other}, ratio {ratio:.2f} (limit {limit})")
    return ratio


def filled(folder: str, number: int) -> Desk:
    desk = a_desk(Path(folder) / "desk")
    Members(desk).add_all(
        [a_person(f"Person Number {each}", number=f"N-{each}") for each in range(number)], "bench"
    )
    return desk


def test_five_hundred_cards_cost_little_more_than_signing_and_drawing_them() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = filled(folder, CARDS)
        references = [member.reference for member in Members(desk).all()]
        work = CardJob(desk, references, layout=Layout.SHEET, who="bench")
        pages: list[bytes] = []

        def bare() -> None:
            for number, reference in enumerate(references):
                token = sign_credential(
                    desk.issuer, None, subject=reference, issued_at=NOW, valid_until=NOW + DAY,
                    status=StatusReference("https://desk.localhost:8444/status/1", number),
                )  # fmt: skip
                out = io.BytesIO()
                qr_symbol(present(token), medium=Medium.PAPER).save(out, kind="svg", xmldecl=False)

        whole = timed(lambda: pages.append(work(Silent())))
        parts = timed(bare)
        desk.close()
        print(f"page of {CARDS} cards: {len(pages[0]) / 2**20:.1f} MiB")
        assert report(f"{CARDS} cards", whole, parts, CARDS_LIMIT) < CARDS_LIMIT


def test_a_search_costs_little_more_than_opening_what_is_sealed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = a_desk(Path(folder) / "desk")
        service = Members(desk)
        rows = "".join(f"N-{each},Person Number {each}\n" for each in range(PEOPLE))
        planned = plan(f"number,name\n{rows}".encode(), "", service)
        taken = timed(lambda: apply(planned, "bench"))
        again = timed(lambda: plan(b"".join(export_csv(service, "bench")), "", service))
        print(f"{PEOPLE} members imported: {taken}; exported and planned again: {again}")
        with desk.store.read() as connection:
            sealed = [
                (row.sealed, row.reference.encode())
                for row in connection.execute(table.select())
            ]  # fmt: skip

        def bare() -> None:
            for data, about in sealed:
                desk.key.open("member", data, about=about)

        whole = timed(lambda: service.search(f"person {PEOPLE - 1}"))
        parts = timed(bare)
        desk.close()
        assert report(f"search of {PEOPLE}", whole, parts, SEARCH_LIMIT) < SEARCH_LIMIT


if __name__ == "__main__":
    test_five_hundred_cards_cost_little_more_than_signing_and_drawing_them()
    test_a_search_costs_little_more_than_opening_what_is_sealed()
