"""Grants for an access controller instead of the relay."""

from __future__ import annotations

import pytest

from agent.daemon.pins import make_card_output, read_key
from agent.gate.cards import OsdpCards, WiegandCards, card_number
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import Direction, Signal
from agent.passage.events import GateFault
from agent.settings.model import GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.wiegand import encode

RELAY, D0, D1 = 17, 20, 21
WIEGAND = GpioConfig(output="wiegand34", wiegand_d0=D0, wiegand_d1=D1)
SUBJECT = "5f0c" * 8


class Recorded:
    """A card output whose controller may be missing; keeps what it was handed."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.cards: list[str] = []

    def present(self, subject: str) -> None:
        if self.fault:
            raise DeviceFault(self.fault)
        self.cards.append(subject)

    def close(self) -> None:
        """Nothing to let go of."""


def send(_request: Request) -> None:
    """Nobody to send to."""


def test_a_grant_sends_the_subjects_number_and_leaves_the_relay_alone(make_rig):
    rig = make_rig(WIEGAND)
    cards = make_card_output(WIEGAND, rig.gate._send, None, lambda _signal: None)
    assert isinstance(cards, WiegandCards)
    rig.gate._card_output = cards
    rig.gate.open(Direction.IN, 5, SUBJECT)
    rig.run(0.5)
    falls = [edge for edge in rig.board.edges() if edge.pin in {D0, D1} and not edge.level]
    assert tuple(edge.pin == D1 for edge in falls) == encode(card_number(SUBJECT, 32), 34)
    assert rig.edges(RELAY) == []


def test_release_fire_and_free_passage_still_use_the_relay(make_rig):
    rig = make_rig(WIEGAND, card_output=Recorded())
    rig.gate.open(Direction.IN, 5)
    rig.poll()
    assert rig.on(RELAY)
    rig.gate.close()
    rig.barrier.fire(active=True)
    rig.poll()
    assert rig.on(RELAY)


def test_a_controller_that_is_not_there_is_a_fault_and_not_the_end(make_rig):
    cards = Recorded("OSDP: no controller listens on the secure channel")
    rig = make_rig(card_output=cards)
    rig.gate.open(Direction.IN, 5, SUBJECT)
    rig.poll()
    assert rig.events == [GateFault("OSDP: no controller listens on the secure channel")]
    assert not rig.on(RELAY)
    assert rig.on(22), "the person sees no red lamp"
    cards.fault = ""
    rig.gate.open(Direction.IN, 5, SUBJECT)
    rig.poll()
    assert cards.cards == [SUBJECT]


@pytest.mark.parametrize(
    ("bits", "number"), [(24, 0x2E2926), (32, 0x2E2926BC), (64, 0x2E2926BC26E20BAD)]
)
def test_a_card_number_is_the_same_after_an_update(bits, number):
    """The access controller has learnt it."""
    assert card_number(SUBJECT, bits) == number


@pytest.mark.parametrize(("output", "bits"), [("wiegand26", 26), ("wiegand34", 34)])
def test_a_number_is_as_wide_as_the_settings_say(output, bits):
    sent: list[Request] = []
    settings = GpioConfig(output=output, wiegand_d0=D0, wiegand_d1=D1)
    cards = make_card_output(settings, sent.append, None, lambda _signal: None)
    cards.present(SUBJECT)
    cards.close()
    assert sent == [Request("card", bits, value=card_number(SUBJECT, bits - 2))]


def test_an_osdp_card_has_eight_bytes_and_the_bus_is_let_go_of():
    class Reader:
        def present(self, number: bytes) -> None:
            said.append(number.hex())

        def close(self) -> None:
            said.append("closed")

    said: list[str] = []
    cards = OsdpCards(Reader())
    cards.present(SUBJECT)
    cards.close()
    assert said == ["2e2926bc26e20bad", "closed"]


def test_a_card_number_is_stable_and_says_nothing_of_the_subject():
    assert card_number(SUBJECT, 24) == card_number(SUBJECT, 32) >> 8
    assert card_number(SUBJECT, 64) != card_number("other", 64)
    assert f"{card_number(SUBJECT, 64):x}" not in SUBJECT


@pytest.mark.parametrize(
    ("content", "said"),
    [("zz", "32 hexadecimal digits"), ("0011", "16 bytes"), (None, "No such file")],
)
def test_osdp_without_a_usable_key_does_not_start(tmp_path, content, said):
    import os
    import pty

    master, slave = pty.openpty()
    if content is not None:
        (tmp_path / "key").write_text(content)
    settings = GpioConfig(output="osdp", osdp_port=os.ttyname(slave), osdp_key_file="key")
    with pytest.raises(DeviceUnavailable, match=said):
        make_card_output(settings, send, tmp_path, lambda _signal: None)
    os.close(master)
    os.close(slave)


def test_osdp_needs_a_key_file(tmp_path):
    settings = GpioConfig(output="osdp", osdp_port="/dev/null")
    with pytest.raises(DeviceUnavailable, match="OSDP needs gpio"):
        make_card_output(settings, send, tmp_path, lambda _signal: None)


def test_the_relay_needs_no_card_output(tmp_path):
    assert make_card_output(GpioConfig(), send, tmp_path, lambda _signal: None) is None


def test_key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(bytes(range(16)).hex() + "\n")
    assert read_key(path) == bytes(range(16))


def test_a_grant_goes_to_a_real_control_panel_and_its_answer_to_the_lamps(make_rig, tmp_path):
    import osdp

    from tests.hal.osdp_panel import ADDRESS, KEY, Panel

    panel = Panel(KEY)
    (tmp_path / "key").write_text(KEY.hex())
    settings = GpioConfig(
        output="osdp", osdp_port=panel.port, osdp_address=ADDRESS, osdp_key_file="key"
    )
    rig = make_rig(settings)
    answers = []
    cards = make_card_output(settings, rig.gate._send, tmp_path, answers.append)
    rig.gate._card_output = cards
    assert panel.until(lambda: cards._reader.secure)
    rig.gate.open(Direction.IN, 5, SUBJECT)
    rig.poll()
    assert panel.event()["data"] == card_number(SUBJECT, 64).to_bytes(8)
    panel.led(osdp.CommandLEDColor.Red)
    assert panel.until(lambda: answers == [Signal.DENIED])
    assert rig.edges(RELAY) == []
    cards.close()
    panel.close()
