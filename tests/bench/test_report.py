"""The report's arithmetic and tables; what it measures is measured by `./setup.sh bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import bench_leaks, report
from tests.bench.report import Peer, Stage

STAGES = [
    Stage("scan, code found", 3.0, "zxing-cpp alone", 2.0, way=True),
    Stage("journal, mark and decision", 4.0, "one synced SQLite insert", 2.0, way=True),
    Stage("face, embed", 2.0, "the embedder's bare inference", 2.0),
]
PEERS = [Peer("scan", "idgate", 2.0), Peer("scan", "pyzbar", 9.0)]
DATA = {
    "machine": "a machine",
    "way": {"way_ms": 7.0, "parts_ms": 6.0, "ratio": 1.17},
    "memory": {"passages": 10, "mib_per_100000": 1.5, "files": 0, "threads": 0,
               "curve": [(0, 50.0), (5, 50.1), (9, 50.0)]},
}  # fmt: skip


def test_the_budget_keeps_disk_and_networks_apart() -> None:
    rows = [line.split(" | ") for line in report.budget(STAGES).splitlines()]
    scan, journal, face, total = rows[2:]
    assert scan[3] == "1.50"
    assert scan[4] == "12.0 to 24.0"
    assert journal[4] == "the card's"
    assert face[4] == "24.0 to 80.0"
    assert total[1] == "3.0"  # neither the disk nor the face


def test_the_report_has_every_number(tmp_path: Path) -> None:
    report.write(tmp_path, DATA, STAGES, PEERS)
    text = (tmp_path / "report.md").read_text()
    for part in ("a machine", "7.0 ms", "1.17 times", "4.50", "1.50 MiB", "+0 open files"):
        assert part in text
    assert json.loads((tmp_path / "report.json").read_text())["memory"]["passages"] == 10
    for name in ("stages", "peers", "memory"):
        assert (tmp_path / f"performance-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_is_written_between_its_marks(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "IMAGES", tmp_path)
    for _ in range(2):
        report.write_page(DATA, STAGES, PEERS)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("images/performance-stages.png") == 1


def test_the_page_of_the_docs_holds_a_measured_report() -> None:
    text = report.PAGE.read_text("utf-8")
    measured = text.split(report.BEGIN)[1].split(report.END)[0]
    for name in ("scan, code found", "verify, dynamic code", "journal", "face, embed", "pyzbar"):
        assert name in measured
    for name in ("stages", "peers", "memory"):
        assert (report.IMAGES / f"performance-{name}.png").exists()


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([(n, 50.0 + n * 1e-3) for n in range(0, 100, 10)], 1e-3),
        ([(n, 50.0) for n in range(0, 100, 10)], 0.0),
        ([(n, 50.0 + (n in {0, 90})) for n in range(0, 100, 10)], 0.0),
    ],
)
def test_a_trend_is_a_leak_and_noise_is_not(curve, expected) -> None:
    assert bench_leaks.slope(curve) == pytest.approx(expected, abs=1e-12)


def test_a_short_run_of_passages_passes(monkeypatch) -> None:
    monkeypatch.setattr("agent.controller._log.info", lambda *_, **__: None, raising=False)
    found = bench_leaks.measure(60)
    assert found["passages"] == 60
    assert found["files"] == 0
