"""A whole lane before a real daemon: arm, beams, door, key, release, and people who misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator

import pytest

from agent.cli import main
from agent.daemon.pins import wiring
from agent.gate.cards import card_number
from agent.journal.subjects import SubjectHasher, load_or_create_key
from agent.settings.load import load
from hal.simulated.barrier import Barrier, Behaviour
from tests.hal.osdp_panel import ADDRESS, KEY, Panel
from tests.support.gate_on_disk import RED, RELAY, GateOnDisk, until

GREEN, RELAY_OUT = 27, 20


def rows(gate: GateOnDisk, kind: str) -> list[dict]:
    return [json.loads(row[3]) for row in gate.rows() if row[2] == kind]


def outcomes(gate: GateOnDisk) -> list[str]:
    return [row["outcome"] for row in rows(gate, "passage")]


def reasons(gate: GateOnDisk) -> list[str]:
    return [row["reason"] for row in gate.decisions()]


@pytest.fixture
def lane(gate: GateOnDisk) -> Iterator[Barrier]:
    gate.write(
        gate="held_open_s = 1.6\ndenial_s = 0.2",
        gpio=f"relay_out = {RELAY_OUT}\npassage_2 = 12\ndoor = 16\nkey = 21\n"
        'key_mode = "maintenance"',
    )
    barrier = Barrier(gate.board, wiring(load(gate.config).gpio), reaction_s=0.05)
    barrier.start()
    yield barrier
    barrier.close()


def come(gate: GateOnDisk, lane: Barrier, behaviour: Behaviour, ends: list[str]) -> None:
    """Somebody with a code of their own walks as told; wait for the rows that this must leave."""
    before = len(outcomes(gate))
    lane.expect(behaviour)
    gate.show(gate.code(subject=f"{behaviour}-{before}"))
    until(lambda: outcomes(gate)[before:] == ends, f"{ends}: {outcomes(gate)[before:]}")
    gate.show()
    until(lambda: not lane.busy and not gate.board.level(RELAY), "at rest")


def test_people_misbehave_and_each_leaves_an_event(gate: GateOnDisk, lane: Barrier) -> None:
    process = gate.run()
    gate.ready()
    come(gate, lane, Behaviour.PASS, ["passed"])
    come(gate, lane, Behaviour.TAILGATED, ["passed", "tailgating"])
    come(gate, lane, Behaviour.CRAWL_BACK, ["passed", "crawl_back"])
    come(gate, lane, Behaviour.TURN_BACK, ["crawl_back", "annulled"])
    come(gate, lane, Behaviour.STAY, ["annulled"])
    until(lambda: gate.decisions()[-1]["decision"] == "annulled", "the use given back")
    assert not [edge for edge in gate.board.edges() if edge.pin == RELAY_OUT and edge.level]
    assert lane.inside == 3  # two, one of them followed, and one who went back out

    before = len(outcomes(gate))
    lane.force()
    until(lambda: len(outcomes(gate)) == before + 2, "an alarm")
    assert set(outcomes(gate)[before:]) == {"forced_open", "without_grant"}
    until(lambda: not lane.busy, "at rest")
    before = len(outcomes(gate))
    time.sleep(0.5)  # the door is believed closed a quarter of a second after
    lane.door(is_open=True)
    until(lambda: outcomes(gate)[before:] == ["forced_open", "held_open"], "held open")
    lane.door(is_open=False)
    until(lambda: outcomes(gate)[-1] == "held_open_cleared", "closed again")

    lane.tamper(active=True)
    until(lambda: rows(gate, "tamper"), "an open housing")
    lane.tamper(active=False)
    lane.expect(Behaviour.PASS)
    lane.press_release()
    until(lambda: reasons(gate)[-1] == "manual_release", "released")
    until(lambda: outcomes(gate)[-1] == "passed", "and passed")

    lane.key(turned=True)
    until(lambda: rows(gate, "mode")[-1]["mode"] == "maintenance", "the key's mode")
    assert rows(gate, "mode")[-1]["cause"] == "staff"
    process.kill()
    process.wait(40)
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    assert not gate.board.level(RED)
    gate.log_mark()
    gate.run()
    gate.ready()
    assert rows(gate, "mode")[-1] == {"mode": "maintenance", "cause": "start"}
    for lamp, dark in ((RED, GREEN), (GREEN, RED)):  # by turns: nothing else looks like that
        until(
            lambda lamp=lamp, dark=dark: gate.board.level(lamp) and not gate.board.level(dark),
            "the mode on the lamps",
        )
    gate.show(gate.code(subject="late"))
    until(lambda: reasons(gate)[-1] == "maintenance", "refused")


def number(gate: GateOnDisk, subject: str, bits: int) -> int:
    """Return the card number under which an access controller knows somebody."""
    key = load_or_create_key(gate.path / "state" / "subject.key")
    return card_number(SubjectHasher(key).local("lib", subject), bits)


def test_wiegand_by_the_settings(gate: GateOnDisk) -> None:
    d0, d1 = 20, 21
    gate.write(gpio=f'output = "wiegand34"\nwiegand_d0 = {d0}\nwiegand_d1 = {d1}')
    gate.run()
    gate.ready()
    gate.show(gate.code())

    def bits() -> list[int]:
        edges = gate.board.edges()
        lines = {d0: 0, d1: 1}
        return [lines[edge.pin] for edge in edges if edge.pin in lines and not edge.level]

    until(lambda: len(bits()) == 34, "34 pulses")
    found = int("".join(map(str, bits()[1:-1])), 2)
    assert found == number(gate, "4711", 32)
    assert not [edge for edge in gate.board.edges() if edge.pin == RELAY and edge.level]


@contextlib.contextmanager
def serving(panel: Panel) -> Iterator[None]:
    """Let the control panel poll its bus, as it does for ever."""
    done = threading.Event()
    thread = threading.Thread(target=panel.until, args=(done.is_set, 60.0))
    thread.start()
    yield
    done.set()
    thread.join()


def test_osdp_by_the_settings(gate: GateOnDisk) -> None:
    panel = Panel(KEY)
    (gate.path / "osdp.key").write_text(KEY.hex())
    gate.write(
        gpio=f'output = "osdp"\nosdp_port = "{panel.port}"\nosdp_address = {ADDRESS}\n'
        'osdp_key_file = "osdp.key"'
    )
    gate.run()
    code = gate.code()
    with serving(panel):
        gate.ready()
        until(panel.device.ctx.sc_status, "a secure channel")
        gate.show(code)
        until(lambda: not panel.device.event_queue[0].empty(), "a card at the controller")
        card = panel.device.event_queue[0].get()
        assert card["data"] == number(gate, "4711", 64).to_bytes(8)
        assert not gate.board.level(RELAY)
        gate.processes[-1].kill()
        gate.processes[-1].wait(40)
    panel.close()
