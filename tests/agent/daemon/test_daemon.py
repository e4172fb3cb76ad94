"""The daemon as a process: it starts, judges, opens, reports, reloads, stops, and dies safely."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from agent.issuing.issue import present
from hal.simulated.pinboard import Function
from tests.support.gate_on_disk import FIRE, PASSAGE, RELAY, GateOnDisk, until


def decisions(gate: GateOnDisk) -> list[dict]:
    return [json.loads(row[3]) for row in gate.rows() if row[2] == "decision"]


def relay(gate: GateOnDisk) -> bool:
    return gate.board.level(RELAY)


def test_a_code_opens_the_gate_and_sigterm_ends_it_clean(gate: GateOnDisk) -> None:
    process = gate.run()
    gate.ready()
    assert not relay(gate)
    gate.show(gate.code())
    until(lambda: relay(gate), "relay on")
    board = gate.board
    board.drive(PASSAGE, level=False)
    time.sleep(0.1)
    board.drive(PASSAGE, level=True)
    until(lambda: not relay(gate), "relay off after the passage")
    gate.show()
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    (granted,) = decisions(gate)
    assert granted["decision"] == "granted"
    assert {"decode", "verify", "policy"} <= set(granted["stages_ms"])
    passages = [json.loads(row[3])["outcome"] for row in gate.rows() if row[2] == "passage"]
    assert passages == ["passed"]
    assert board.function(RELAY) is Function.INPUT


def test_the_replay_mark_is_on_disk_before_the_relay_moves(gate: GateOnDisk) -> None:
    """Killed the moment the relay is on, the use is known and the code cannot be used again."""
    process = gate.run()
    gate.ready()
    code = gate.code()
    gate.show(code)
    until(lambda: relay(gate), "relay on")
    process.kill()
    process.wait(40)
    assert [row["decision"] for row in decisions(gate)] == ["granted"]
    gate.show()
    gate.log_mark()
    gate.run()
    gate.ready()
    assert not relay(gate)
    gate.show(code)
    until(lambda: len(decisions(gate)) == 2, "second decision")
    assert decisions(gate)[1]["reason"] == "replayed"


def test_fire_opens_at_once_and_nobody_is_judged(gate: GateOnDisk) -> None:
    gate.run()
    gate.ready()
    board = gate.board
    board.drive(FIRE, level=True)
    until(lambda: relay(gate), "relay on")  # within one poll: tests/agent/gate, on a fake clock
    gate.show(gate.code())
    time.sleep(0.5)
    assert decisions(gate) == []
    gate.show()
    board.drive(FIRE, level=False)
    until(lambda: not relay(gate), "relay off")

    def modes() -> list[str]:
        return [json.loads(row[3])["mode"] for row in gate.rows() if row[2] == "mode"]

    until(lambda: modes() == ["normal", "fire", "normal"], "back to normal")


def test_sighup_reads_the_trust_again_and_keeps_the_old_where_it_is_bad(gate: GateOnDisk) -> None:
    process = gate.run()
    gate.ready()
    (gate.path / "trust" / "lib.pem").rename(gate.path / "lib.pem")
    (gate.path / "trust" / "lib.toml").rename(gate.path / "lib.toml")
    process.send_signal(signal.SIGHUP)
    until(lambda: "SIGHUP" in gate.log() or '"reloaded"' in gate.log(), "reloaded")
    gate.show(gate.code())
    until(lambda: decisions(gate), "a decision")
    assert decisions(gate)[-1]["reason"] == "unknown_issuer"
    gate.show()

    def faults(part: str) -> list[str]:
        """Of one part: others tell their own, as a decoder does that a slow machine is late with."""
        told = [json.loads(row[3]) for row in gate.rows() if row[2] == "fault"]
        return [fault["code"] for fault in told if fault["part"] == part]

    (gate.path / "trust" / "bad.pem").write_text("no key at all")
    process.send_signal(signal.SIGHUP)
    until(lambda: "bad.pem" in gate.log(), "the file that is no key")
    assert "reload refused" not in gate.log()
    (gate.path / "trust").rename(gate.path / "elsewhere")
    process.send_signal(signal.SIGHUP)
    until(lambda: "reload refused" in gate.log(), "refused")
    assert process.poll() is None
    until(lambda: faults("config") == ["reload_refused"], "the fault in the journal")


def test_sd_notify_says_ready_feeds_the_watchdog_and_says_stopping(gate: GateOnDisk) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # A Unix socket's path is short; pytest's may not be.
        manager.bind(f"\0idgate-test-{os.getpid()}")
        manager.settimeout(40)
        process = gate.run(NOTIFY_SOCKET=f"@idgate-test-{os.getpid()}", WATCHDOG_USEC="1000000")
        words = [manager.recv(256).decode()]
        while "WATCHDOG=1" not in words:
            words.append(manager.recv(256).decode())
        assert words.index("READY=1") < words.index("WATCHDOG=1")
        process.send_signal(signal.SIGINT)
        while words[-1] != "STOPPING=1":
            words.append(manager.recv(256).decode())
        while process.poll() is None:
            words.append(manager.recv(256).decode())  # each step of the stop; the socket holds ten
            if words[-1].startswith("STATUS=stopping: disk"):
                break
        assert process.wait(40) == 0


def test_a_stuck_gate_is_not_fed_to_the_watchdog(gate: GateOnDisk) -> None:
    """Stopped as by a hang, the process says nothing; the service manager would kill it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0idgate-stuck-{os.getpid()}")
        manager.settimeout(40)
        process = gate.run(NOTIFY_SOCKET=f"@idgate-stuck-{os.getpid()}", WATCHDOG_USEC="1000000")
        while manager.recv(256) != b"WATCHDOG=1":
            continue
        process.send_signal(signal.SIGSTOP)
        manager.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while manager.recv(256):  # what was said before
                continue
        manager.settimeout(1.2)
        with pytest.raises(TimeoutError):
            manager.recv(256)


@pytest.mark.parametrize("moment", ["idle", "open"])
def test_after_a_sigkill_the_gate_closes_and_safe_lets_go_of_its_lines(
    gate: GateOnDisk, moment: str
) -> None:
    from agent.cli import main

    process = gate.run()
    gate.ready()
    if moment == "open":
        gate.show(gate.code())
        until(lambda: relay(gate), "relay on")
    process.kill()
    process.wait(40)
    until(lambda: not relay(gate), "closed")
    assert gate.board.function(RELAY) is Function.OUTPUT
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    board = gate.board
    assert not board.level(RELAY)
    assert board.function(RELAY) is Function.INPUT


def _real_hardware(gate: GateOnDisk) -> None:
    text = gate.config.read_text().replace('[gpio]\ndriver = "simulated"', "[gpio]")
    gate.config.write_text(text)


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda gate: gate.config.write_text("[gate"), 2, "not TOML"),
        (lambda gate: gate.config.unlink(), 2, "cannot be read"),
        (lambda gate: gate.write(gate='profile = "palace"'), 2, "palace"),
        (lambda gate: gate.write(gate='profile = "railway"'), 2, "[face]"),
        (lambda gate: (gate.path / "trust").rename(gate.path / "elsewhere"), 2, "trust"),
        (lambda gate: (gate.path / "view.png").unlink(), 3, "view.png"),
        (lambda gate: (gate.path / "view.png").write_text("x"), 3, "view.png"),
        (_real_hardware, 3, '"rpi-gpio"'),
    ],
)
def test_what_cannot_start_says_one_line_and_exits(
    gate: GateOnDisk, spoil, code: int, words: str
) -> None:
    spoil(gate)
    process = gate.run()
    assert process.wait(40) == code
    lines = [line for line in gate.log().splitlines() if not line.startswith("{")]
    assert len(lines) == 1, gate.log()
    assert lines[0].startswith("idgate run: ")
    assert words in lines[0]


def test_a_state_directory_that_is_no_directory_is_one_line(gate: GateOnDisk) -> None:
    Path(gate.path / "state").write_text("in the way")
    process = gate.run()
    assert process.wait(40) == 3
    assert "state" in gate.log()


def test_two_codes_in_view_open_nothing(gate: GateOnDisk) -> None:
    gate.run()
    gate.ready()
    gate.show(gate.code(subject="1"), gate.code(subject="2"))
    until(lambda: decisions(gate), "a decision")
    assert decisions(gate)[0]["reason"] == "several_codes"
    assert not relay(gate)


def test_a_static_code_may_be_used_again_after_its_time(gate: GateOnDisk) -> None:
    from agent.issuing.issue import sign_credential

    now = int(time.time())
    card = present(
        sign_credential(
            gate.issuer,
            None,
            subject="1",
            issued_at=now - 10,
            valid_until=now + 1000,
            kind="library-card",
        )
    )
    profile = gate.path / "quick.toml"
    profile.write_text(
        'name = "quick"\ntitle = "t"\nkinds = ["library-card"]\ndynamic = false\nreuse_s = 1\n'
    )
    gate.write(gate='profile = "quick.toml"\ndenial_s = 0.2')
    gate.run()
    gate.ready()
    for _ in range(2):
        before = len(decisions(gate))
        gate.show(card)
        until(lambda before=before: len(decisions(gate)) > before, "a decision")
        gate.show()
        until(lambda: not relay(gate), "closed again")
        time.sleep(1.3)
    assert [row["decision"] for row in decisions(gate) if row["decision"] != "annulled"] == [
        "granted",
        "granted",
    ]


@pytest.mark.parametrize(("kept", "locked"), [("locked\n", True), ("normal\n", False), ("?", True)])
def test_a_mode_that_was_kept_before_there_was_a_gatekeeper_still_holds(
    gate: GateOnDisk, kept: str, locked: bool
) -> None:
    state = gate.path / "state"
    state.mkdir()
    (state / "mode").write_text(kept)
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(gate.decisions, "a decision")
    assert gate.decisions()[0]["reason"] == ("gate_locked" if locked else "granted")
    assert not (state / "mode").exists()
    expected = "locked\n" if locked else None
    mode = state / "gatekeeper" / "mode"
    until(lambda: (mode.read_text() if mode.exists() else None) == expected, "kept")
