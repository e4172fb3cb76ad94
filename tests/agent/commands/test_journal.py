"""`idgate journal` on the command line: rows for people and programs, and a person's rights."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from agent.cli import main
from agent.journal.events import BiometricOutcome, Decision, Fault, Passage
from agent.journal.journal import Journal
from agent.journal.model import Way
from agent.journal.subjects import SubjectHasher
from agent.reason import Reason

T0 = 1_800_000_000.0
KEY = bytes(range(32))
SECRET = "8f14e45f"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "subject.key").write_bytes(KEY)
    path = tmp_path / "config.toml"
    path.write_text('state_dir = "state"\n[gate]\nsite = "s"\ngate = "g"\n')
    hasher = SubjectHasher(KEY)
    subject = hasher.reported("city", SECRET, at=T0)
    now = T0
    with Journal.open(
        tmp_path / "state" / "journal.sqlite", clock=lambda: now, boot_id="b" * 32
    ) as journal:
        journal.append(
            Decision(
                passage="1" * 32, decision="granted", reason=Reason.GRANTED, subject=subject,
                kind="library-card", direction="in",
                biometrics=(BiometricOutcome(modality="face", reason=Reason.GRANTED),),
                stages_ms={"camera": 1.0},
            )
        )  # fmt: skip
        now += 60
        passed = Passage(passage="1" * 32, outcome="passed", subject=subject)
        journal.record_passage(passed, Way(hasher.local("city", SECRET), "main", "in"))
        now += 60
        journal.append(Decision(passage="2" * 32, decision="denied", reason=Reason.EXPIRED))
        now += 60
        journal.append(Fault(part="camera", code="reopened", active=False, detail="un plugged"))
    return path


def journal(config: Path, *words: str) -> int:
    return main(["journal", words[0], "--config", str(config), *words[1:]])


def test_rows_are_lines_for_people(config, capsys) -> None:
    subject = SubjectHasher(KEY).reported("city", SECRET, at=T0)
    assert journal(config, "show") == 0
    who = f"kind=library-card subject={subject} direction=in face=granted"
    assert capsys.readouterr().out.splitlines() == [
        f"2027-01-15T08:00:00Z  decision  granted granted {who}",
        f"2027-01-15T08:01:00Z  passage   passed subject={subject}",
        "2027-01-15T08:02:00Z  decision  denied expired",
        "2027-01-15T08:03:00Z  fault     part=camera code=reopened active=False detail=un plugged",
    ]


@pytest.mark.parametrize(
    ("words", "times"),
    [
        ((), ["00", "01", "02", "03"]),
        (("--last", "2"), ["02", "03"]),
        (("--kind", "decision"), ["00", "02"]),
        (("--kind", "decision", "--last", "1"), ["02"]),
        (("--reason", "expired", "--reason", "stale"), ["02"]),
        (("--since", "2027-01-15T08:02:00Z"), ["02", "03"]),
        (("--until", "2027-01-15T09:01:00+01:00"), ["00", "01"]),
        (("--since", "2028-01-01"), []),
    ],
)
def test_filters(config, capsys, words, times) -> None:
    assert journal(config, "show", *words) == 0
    assert [line[14:16] for line in capsys.readouterr().out.splitlines()] == times


def test_json_and_csv_hold_the_same(config, capsys, tmp_path) -> None:
    assert journal(config, "show", "--json") == 0
    shown = capsys.readouterr().out
    assert journal(config, "export") == 0
    assert capsys.readouterr().out == shown
    rows = [json.loads(line) for line in shown.splitlines()]
    assert rows[2] == {
        "time": "2027-01-15T08:02:00Z", "boot_id": "b" * 32, "seq": 3, "type": "decision",
        "data": {"passage": "2" * 32, "decision": "denied", "reason": "expired"},
    }  # fmt: skip
    out = tmp_path / "rows.csv"
    assert journal(config, "export", "--format", "csv", "--out", str(out)) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    table = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [{**row, "seq": int(row["seq"]), "data": json.loads(row["data"])} for row in table] == (
        rows
    )


def test_a_file_that_is_there_is_not_overwritten(config, capsys, tmp_path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("mine")
    assert journal(config, "export", "--out", str(out)) == 2
    assert capsys.readouterr().err == f"idgate journal: {out}: File exists\n"
    assert out.read_text() == "mine"


def test_an_export_that_fails_leaves_no_half(config, capsys, tmp_path) -> None:
    (tmp_path / "state" / "journal.sqlite").write_bytes(b"x" * 5_000)
    out = tmp_path / "rows.csv"
    assert journal(config, "export", "--out", str(out)) == 2
    assert "is not a database; the daemon sets it aside" in capsys.readouterr().err
    assert not out.exists()


def who(tmp_path: Path, text: str = f"{SECRET}\n") -> tuple[str, ...]:
    file = tmp_path / "who"
    file.write_text(text)
    return ("--issuer", "city", "--subject-file", str(file))


def test_a_person_is_found_by_file_or_standard_input(config, capsys, tmp_path, monkeypatch) -> None:
    assert journal(config, "find", *who(tmp_path)) == 0
    by_file = capsys.readouterr().out
    assert "2 rows, of which 2 wait for the collector\n" in by_file
    assert "last seen to pass: zone main, in\n" in by_file
    assert "presence 1" in by_file
    for extra in ((), ("--subject-file", "-")):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
        assert journal(config, "find", "--issuer", "city", *extra) == 0
        assert capsys.readouterr().out == by_file
    assert SECRET not in by_file


def test_what_is_found_as_json_names_the_hashes_to_look_for_at_the_collector(
    config, capsys, tmp_path
) -> None:
    assert journal(config, "find", "--json", *who(tmp_path)) == 0
    hasher = SubjectHasher(KEY)
    assert json.loads(capsys.readouterr().out) == {
        "rows": 2, "first": "2027-01-15T08:00:00Z", "last": "2027-01-15T08:01:00Z", "waiting": 2,
        "by_name": {hasher.reported("city", SECRET, at=T0): 2},
        "local": hasher.local("city", SECRET),
        "memory": {"presence": 1, "failures": 0, "given_back": 0, "holder": 0},
        "last_seen": "main in",
    }  # fmt: skip


def test_nobody_is_exit_code_1(config, capsys, tmp_path) -> None:
    assert journal(config, "find", *who(tmp_path, "nobody")) == 1
    assert capsys.readouterr().out.startswith("0 rows")
    assert journal(config, "erase", *who(tmp_path, "nobody")) == 1


def test_erased_is_not_found_and_not_in_any_file(config, capsys, tmp_path) -> None:
    hasher = SubjectHasher(KEY)
    assert journal(config, "erase", *who(tmp_path)) == 0
    assert capsys.readouterr().out == (
        "2 rows no longer say who; 1 places, lockouts and give-backs gone\n"
    )
    assert journal(config, "find", *who(tmp_path)) == 1
    kept = b"".join(file.read_bytes() for file in (tmp_path / "state").glob("journal*"))
    for name in (hasher.local("city", SECRET), hasher.reported("city", SECRET, at=T0)):
        assert name.encode() not in kept
    capsys.readouterr()
    assert journal(config, "show") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_what_the_collector_has_not_is_left_and_told(config, capsys, tmp_path) -> None:
    config.write_text(config.read_text() + '[mqtt]\nurl = "mqtt://localhost"\n')
    assert journal(config, "erase", *who(tmp_path)) == 1
    told = capsys.readouterr()
    assert told.out.startswith("0 rows no longer say who; 1 places")
    assert told.err == (
        "idgate journal: 2 rows wait for the collector and were left: again when it has them\n"
    )


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "x" * 5_000, "\udcff"])
def test_what_is_no_identifier(config, capsys, tmp_path, text) -> None:
    file = tmp_path / "who"
    file.write_bytes(os.fsencode(text))
    words = ("--issuer", "city", "--subject-file", str(file))
    assert journal(config, "find", *words) == 2
    assert "one line with the identifier is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("remove", "said"),
    [("subject.key", "subject.key: No such file"), ("journal.sqlite", "no journal; the daemon")],
)
def test_what_is_missing_is_named_and_not_made(config, capsys, tmp_path, remove, said) -> None:
    (tmp_path / "state" / remove).unlink()
    for action in ("find", "erase"):
        assert journal(config, action, *who(tmp_path)) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "state" / remove).exists()


def test_another_sites_key_finds_nobody(config, capsys, tmp_path) -> None:
    (tmp_path / "other.key").write_bytes(bytes(32))
    assert journal(config, "find", "--key", str(tmp_path / "other.key"), *who(tmp_path)) == 1
