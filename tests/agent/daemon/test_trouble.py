"""The running daemon in trouble: a full disk, hostile codes, and what its log says of both."""

from __future__ import annotations

import io
import json
import random
import resource
from functools import partial

import psutil
import pytest

from agent.credential.cbor import encode
from agent.issuing.issue import new_issuer, present, qr_png, sign_credential
from tests.support.gate_on_disk import FIRE, RED, TAMPER, GateOnDisk, until

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
MOST_CHARACTERS = 4_296
"""What the largest QR code holds in alphanumeric mode, at level L."""


def log_lines(gate: GateOnDisk) -> list[dict]:
    return [json.loads(line) for line in gate.log().splitlines()]


def show_largest(gate: GateOnDisk, text: str) -> None:
    """Hold a code before the camera that fills its picture: version 40 at 3 pixels a module."""
    from PIL import Image

    hall = Image.new("L", (1280, 720), 90)
    with Image.open(io.BytesIO(qr_png(text, module_px=3))) as code:
        hall.paste(code.convert("L"), (360, 80))
    hall.save(gate.path / "next.png", compress_level=0)
    (gate.path / "next.png").rename(gate.path / "view.png")


def test_alarms_and_every_denial_are_in_the_log(gate: GateOnDisk) -> None:
    """docs/operation.md says so; a denial of a locked gate has no code that was refused."""
    (gate.path / "state").mkdir()
    (gate.path / "state" / "mode").write_text("locked\n")
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: [row["reason"] for row in gate.decisions()] == ["gate_locked"], "a denial")
    gate.board.drive(TAMPER, level=True)
    until(lambda: any(line["event"] == "tamper" for line in log_lines(gate)), "the housing")
    gate.board.drive(FIRE, level=True)
    until(lambda: any(line.get("mode") == "fire" for line in log_lines(gate)), "the fire")
    told = {line["event"]: line["level"] for line in log_lines(gate)}
    assert (told["tamper"], told["mode"]) == ("warning", "warning")
    denials = [line["reason"] for line in log_lines(gate) if line["event"] == "decision"]
    assert denials == ["gate_locked"]


def test_a_full_disk_opens_nothing_and_heals(gate: GateOnDisk) -> None:
    """A limit on the size of its files stands for the full disk; it is lifted again."""
    gate.write(gate="denial_s = 0.2")
    process = gate.run()
    gate.ready()
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (8_192, hard))
    for _ in range(2):
        gate.show(gate.code())
        until(lambda: gate.board.level(RED), "red")
        gate.show()
        until(lambda: not gate.board.level(RED), "dark again")
    assert gate.openings() == 0
    assert gate.decisions() == []
    assert process.poll() is None
    told = [line for line in log_lines(gate) if line["event"] == "journal refuses"]
    assert len(told) == 1, "one clear line"
    assert "JournalFailed" in told[0]["fault"]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "relay on")
    *kept, granted = gate.decisions()
    assert granted["decision"] == "granted"
    # What could not be written at the time is told once it can be.
    assert [(row["decision"], row["reason"]) for row in kept] == [("denied", "journal_failed")] * 2


@pytest.mark.parametrize(("who", "codes"), [("worker", {"crash"}), ("maker", {"crash", "lost"})])
def test_a_killed_decoder_is_replaced_and_told(gate: GateOnDisk, who: str, codes: set[str]) -> None:
    """The process that decodes, and the one that it is forked from."""
    gate.write(gate="denial_s = 0.2")
    process = gate.run()
    gate.ready()
    (maker,) = psutil.Process(process.pid).children()
    until(maker.children, "a worker")
    (worker,) = maker.children()
    victim = worker if who == "worker" else maker
    victim.kill()
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "relay on")
    assert process.poll() is None
    assert victim not in psutil.Process(process.pid).children(recursive=True)
    faults = [json.loads(row[3]) for row in gate.rows() if row[2] == "fault"]
    told = {(fault["part"], fault["code"]) for fault in faults}
    told -= {("scan", "hang")}  # late with a frame on a busy machine
    assert told == {("scan", code) for code in codes}


@pytest.fixture
def hostile(gate: GateOnDisk) -> list[tuple[str, str]]:
    """Return codes with the reason for which each must be refused, and a good one."""
    rng = random.Random(4_296)
    good = gate.code(subject="SUBJECT-4711", birth_date="1990-04-01")
    stranger = new_issuer("stranger", "ES256")
    claims = {"subject": "SUBJECT-4712", "issued_at": 1_700_000_000, "valid_until": 1_900_000_000}
    strange = sign_credential(stranger, None, kind="library-card", **claims)
    other = sign_credential(gate.issuer, None, kind="passport", **claims)
    old = sign_credential(
        gate.issuer, None, kind="library-card", **(claims | {"valid_until": 1_700_000_001})
    )
    return [
        ("malformed", "".join(rng.choices(ALPHANUMERIC, k=MOST_CHARACTERS))),
        ("malformed", "NI1:" + "".join(rng.choices(ALPHANUMERIC, k=2_400))),
        ("unsigned", present(encode({1: "SUBJECT-4713"}))),
        ("unknown_issuer", present(strange)),
        ("kind_not_accepted", present(other)),
        ("expired", present(old)),
        ("granted", good),
    ]


def test_hostile_codes_are_refused_by_name_and_nothing_of_any_code_is_logged(
    gate: GateOnDisk, hostile: list[tuple[str, str]]
) -> None:
    gate.write(gate="denial_s = 0.2")
    gate.config.write_text(
        gate.config.read_text().replace('format = "json"', 'format = "json"\nlevel = "debug"')
    )
    process = gate.run()
    gate.ready()
    *bad, (_, good) = hostile
    for reason, payload in bad:
        largest = len(payload) > 2_000
        assert gate.judged(payload, partial(show_largest, gate) if largest else None) == reason
    assert gate.openings() == 0
    gate.show(good)
    until(lambda: gate.openings() == 1, "relay on")
    assert process.poll() is None
    written = b"".join(
        path.read_bytes()
        for path in [gate.path / "log", *(gate.path / "state").rglob("*")]
        if path.is_file()
    )
    assert b'"refused"' in written, "the log does say what was refused"
    for _, payload in hostile:
        for start in range(0, len(payload) - 24, 24):
            assert payload[start : start + 24].encode() not in written
    for secret in (b"SUBJECT-47", b"1990-04-01", b"19900401", b"NI1:"):
        assert secret not in written
