"""The report's arithmetic and tables; what it measures is measured by `./setup.sh bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import bench_leaks, render, report
from tests.bench.report import Found
from tests.bench.stages import Absent, Peer, Stage

STAGES = [
    Stage("scan, code found", 3.0, "zxing-cpp alone", 2.0, way=True),
    Stage("journal, mark and decision", 4.0, "one synced SQLite insert", 2.0, way=True),
    Stage("face, embed", 3.0, "its bare networks", 2.0),
    Stage("face, align", 0.144),
]
PEERS = [Peer("scan", "idgate", 2.0), Peer("scan", "pyzbar", 9.0)]
ABSENT = [Absent("claim169", "not installed: no module of that name")]
COUNTED = {
    "environment": {"valgrind": "valgrind-3.19.0", "machine": "x86_64, avx2", "python": "CPython 3.11.2, GCC",
                    "cryptography": "50", "zxing-cpp": "3.1.0"},
    "works": {"policy": {"ir": 3_000_000.0, "ratio": None, "shares": {"CPython": 0.99, "zlib": 0.01}},
              "journal": {"ir": 500_000.0, "ratio": 1.234, "shares": {"SQLite": 1.0}}},
}  # fmt: skip
ARM = {
    "environment": COUNTED["environment"] | {"machine": "aarch64, cortex-a72", "qemu": "7.2.22"},
    "works": {"policy": {"ir": 2_700_000.0, "ratio": None, "shares": {"": 1.0}}},
}
DATA = {
    "machine": "a machine",
    "way": {"way_ms": 7.0, "parts_ms": 6.0, "ratio": 1.17},
    "memory": {"passages": 10, "mib_per_100000": 1.5, "files": 0, "threads": 0,
               "curve": [(0, 50.0), (5, 50.1), (9, 50.0)]},
    "finger": {"bytes": 2880, "baud": 57_600, "line_ms": 500.0, "image_ms": 200, "features_ms": 500,
               "match_ms": 10},
    "instructions": COUNTED,
    "arm64": ARM,
}  # fmt: skip
FOUND = Found(DATA, STAGES, PEERS, ABSENT)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0107, 3, "0.0107"), (0.94, 2, "0.94"), (1.5, 3, "1.50"), (67.24, 3, "67.2"),
     (1234.5, 2, "1,234"), (0.144, 2, "0.14"), (0.0, 3, "0")],
)  # fmt: skip
def test_numbers_have_the_digits_that_count(value, digits, text) -> None:
    assert render.number(value, digits) == text


def test_the_budget_keeps_disk_and_networks_apart() -> None:
    rows = [line.split(" | ") for line in render.budget(STAGES).splitlines()]
    scan, journal, face, align, total = rows[2:]
    assert scan[3] == "1.50"
    assert scan[4] == "12 to 24"
    assert journal[4] == "the card's"
    assert face[4] == "28 to 88"  # two of the networks' factor, one of everything else's
    assert align[2:4] == ["all its own", ""]
    assert total[1] == "3.00"  # neither the disk nor the face


def test_a_pi_is_estimated_by_its_own_instructions() -> None:
    best, worst = render.pi_ms(3e6, "Pi 4")
    assert best == pytest.approx(3e6 / (2.05 * 1.5e9) * 1e3)
    assert worst == pytest.approx(3e6 / (0.9 * 1.5e9) * 1e3)
    text = render.counted(COUNTED, ARM)
    assert "| policy | 3.00 |  | CPython 99% | 2.70 |  | 0.88 to 2.0 |" in text
    assert "| journal | 0.500 | 1.23 | SQLite 100% |  |  |  |  |" in text
    assert "aarch64, cortex-a72" in text


def test_what_was_left_out_is_said() -> None:
    assert "not counted" in render.counted(None, None)
    text = render.counted(COUNTED, None)
    assert "not counted (`--arm64`)" in text
    assert "| policy | 3.00 |  | CPython 99% |  |  |  |  |" in text
    text = render.compared(PEERS, ABSENT)
    assert "| not measured | claim169 | not installed: no module of that name |" in text


def test_the_report_has_every_number(tmp_path: Path) -> None:
    report.write(tmp_path, FOUND)
    text = (tmp_path / "report.md").read_text()
    for part in ("a machine", "7.0 ms", "1.17 times", "4.50", "1.50 MiB", "+0 open files",
                 "2,880 bytes", "500 ms at 57,600 baud", "at most 710 ms", "Neither was measured"):  # fmt: skip
        assert part in text
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["memory"]["passages"] == 10
    assert stored["stages"][3]["ratio"] is None
    assert stored["absent"][0]["who"] == "claim169"
    for name in ("stages", "peers", "memory"):
        assert (tmp_path / f"performance-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_is_written_between_its_marks(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "IMAGES", tmp_path)
    for _ in range(2):
        report.write_page(FOUND)
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
    monkeypatch.setattr(
        "agent.controller.controller._log.info", lambda *_, **__: None, raising=False
    )
    found = bench_leaks.measure(20)
    assert found["passages"] == 20
    assert found["files"] == 0


def test_what_was_asked_for_and_not_counted_is_no_success(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    words = ["bench", "--report", str(tmp_path / "report"), "--page"]
    page = tmp_path / "page.md"
    page.write_text(f"{report.BEGIN}\nold\n{report.END}\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "IMAGES", tmp_path)
    monkeypatch.setattr(report.logging, "disable", lambda _: None)
    monkeypatch.setattr(report.structlog, "configure", lambda **_: None)
    found = Found(DATA, STAGES, PEERS, ABSENT, ["callgrind: no valgrind"])
    monkeypatch.setattr(report, "gather", lambda *_, **__: found)
    monkeypatch.setattr("sys.argv", [*words, "--callgrind"])
    assert report.main() == 1
    assert "callgrind: no valgrind" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert (tmp_path / "report/report.md").exists()
    found.missed.clear()
    assert report.main() == 0
    assert "old" not in page.read_text()
    monkeypatch.setenv("IDGATE_TREE", str(tmp_path))
    monkeypatch.setattr("sys.argv", [*words, "--arm64"])
    assert report.main() == 2, "before anything is measured"
    assert "setup.sh arm64" in capsys.readouterr().err
