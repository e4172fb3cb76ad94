"""The simulated module, byte for byte: what any driver sees of it."""

from __future__ import annotations

import itertools
import os
import select
import time

import pytest
import serial

from hal.errors import DeviceUnavailable
from hal.fingerprint_frame import FrameReader, Kind, encode
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_fingers import (
    Condition,
    Features,
    Impression,
    combine,
    read_template,
    score,
)
from hal.simulated.fingerprint_module import R307, R503, Module
from hal.simulated.fingerprint_script import COMMANDS, Glass, Script, Touch, load_script

ACK = "ef01ffffffff07"
DIGEST = "cc5037345e738cc8"


def ask(module: Module, *command: int) -> str:
    """Send a command into a module and return its whole answer, in hexadecimal."""
    replies = module.receive(encode(Kind.COMMAND, bytes(command)))
    answer = b"".join(frame for reply in replies for frame in reply.frames)
    for reply in replies:
        if reply.after is not None:
            reply.after()
    return answer.hex()


BYTES = [
    # command, rest, the answer after EF01 FFFFFFFF 07: length, confirmation, parameters, sum
    ("get_image", [], "0003 02 000c"),
    ("extract", [1], "0003 15 001f"),
    ("match", [], "0005 08 0000 0014"),
    ("search", [1, 0, 0, 0, 200], "0007 09 00000000 0017"),
    ("fast_search", [1, 0, 0, 0, 200], "0007 09 00000000 0017"),
    ("create_model", [], "0003 0a 0014"),
    ("store", [1, 0, 200], "0003 0b 0015"),
    ("load", [1, 0, 7], "0003 0c 0016"),
    ("upload_image", [], "0003 0f 0019"),
    ("delete", [0, 0, 0, 1], "0003 00 000a"),
    ("delete", [0, 200, 0, 1], "0003 0b 0015"),
    ("empty", [], "0003 00 000a"),
    ("set_parameter", [9, 1], "0003 1a 0024"),
    ("set_parameter", [5, 4], "0003 00 000a"),
    ("read_parameters", [], "0013 00 0000000000c80003ffffffff00020006 04e9"),
    ("verify_password", [0, 0, 0, 0], "0003 00 000a"),
    ("verify_password", [0, 0, 0, 1], "0003 13 001d"),
    ("count", [], "0005 00 0000 000c"),
    ("light", [1, 100, 2, 0], "0003 00 000a"),
    ("port_control", [0], "0003 00 000a"),
    ("check_sensor", [], "0003 00 000a"),
    ("handshake", [0], "0003 00 000a"),
    ("echo", [], "0003 55 005f"),
    ("read_notepad", [16], "0003 01 000b"),
    ("write_notepad", [0, 1, 2], "0003 01 000b"),
    ("set_password", [1], "0003 01 000b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rest", "answer"), BYTES)
def test_answers(name, rest, answer):
    assert ask(Module(R503, Glass()), COMMANDS[name], *rest) == ACK + answer.replace(" ", "")


def test_every_command_is_answered():
    for code in range(256):
        module = Module(R503, Glass())
        answer = ask(module, code, *b"\xff" * 40)
        assert answer.startswith(ACK), hex(code)
        known = code in COMMANDS.values()
        if not known:
            assert answer == ACK + "000301000b"


def test_an_unknown_or_damaged_command_is_a_packet_error():
    module = Module(R503, Glass())
    damaged = bytearray(encode(Kind.COMMAND, b"\x01"))
    damaged[-1] ^= 1
    (reply,) = module.receive(bytes(damaged))
    assert reply.frames[0].hex() == ACK + "000301000b"
    assert ask(module, 0x02) == ACK + "000301000b"  # a parameter is missing


def test_index_table():
    module = Module(R307, Glass())
    module.library = {0: b"", 9: b"", 255: b"", 300: b""}
    first, second = ask(module, 0x1F, 0), ask(module, 0x1F, 1)
    assert first[18:-4] == "000102" + "00" * 29 + "80"
    assert second[18:-4] == "00" + "00" * 5 + "10" + "00" * 26


def test_nothing_without_the_password():
    module = Module(R503, Glass())
    ask(module, 0x12, *b"abcd")
    module.power_up()
    assert ask(module, 0x01) == ACK + "000321002b"
    assert ask(module, 0x13, *b"abcd") == ACK + "000300000a"
    assert ask(module, 0x01) == ACK + "000302000c"


def test_a_new_address_is_answered_from():
    module = Module(R503, Glass())
    assert ask(module, 0x15, 1, 2, 3, 4).startswith("ef0101020304")
    assert module.receive(encode(Kind.COMMAND, b"\x01")) == []


@pytest.mark.parametrize("variant", [R503, R307], ids=lambda variant: variant.name)
@pytest.mark.parametrize("code", range(4))
def test_packets(variant, code):
    glass = Glass()
    module = Module(variant, glass)
    glass.place("anna")
    ask(module, 0x0E, 6, code)
    ask(module, 0x01)
    ask(module, 0x02, 1)
    reader = FrameReader()
    reader.feed(bytes.fromhex(ask(module, 0x08, 1)))
    frames = list(iter(reader.next, None))
    assert [frame.kind for frame in frames] == [
        Kind.ACK, *[Kind.DATA] * (variant.template_length // (32 << code) - 1), Kind.END,
    ]  # fmt: skip
    assert {len(frame.payload) for frame in frames[1:]} == {32 << code}
    template = b"".join(frame.payload for frame in frames[1:])
    assert len(template) == variant.template_length
    ask(module, 0x09, 2)
    module.receive(b"".join(encode(frame.kind, frame.payload) for frame in frames[1:]))
    assert ask(module, 0x03) == ACK + "000500012c0039"  # 300: the same


class TestFingers:
    NAMES = tuple(f"person {number}" for number in range(25))

    def test_the_same_bytes_everywhere(self):
        """Fixed here, so that a recorded credential still fits the module tomorrow."""
        import hashlib

        data = Impression("anna", touch=3).features().template(512)
        assert data == Impression("anna", touch=3).features().template(512)
        assert hashlib.sha256(data).hexdigest()[:16] == DIGEST

    @pytest.mark.parametrize(
        ("condition", "least"), [(Condition.CLEAN, 100), (Condition.PARTIAL, 30)]
    )
    def test_genuine(self, condition, least):
        for name in self.NAMES:
            reference = Impression(name, touch=1).features()
            probe = Impression(name, condition, touch=2).features()
            assert score(reference, probe) > least

    def test_impostors(self):
        fingers = [Impression(name).features() for name in self.NAMES]
        assert max(score(a, b) for a, b in itertools.combinations(fingers, 2)) < 20

    def test_order_does_not_matter(self):
        for name in self.NAMES:
            one = Impression(name, touch=1).features()
            other = Impression(name, Condition.PARTIAL, touch=2).features()
            assert abs(score(one, other) - score(other, one)) <= 25

    def test_two_touches_make_a_template(self):
        one, other = Impression("anna", touch=1).features(), Impression("anna", touch=2).features()
        joined = combine(one, other)
        assert joined is not None
        assert score(joined, Impression("anna", touch=3).features()) > 100
        assert combine(one, Impression("boris").features()) is None

    @pytest.mark.parametrize("length", [512, 1_536])
    def test_templates(self, length):
        features = Impression("anna").features()
        data = features.template(length)
        back = read_template(data)
        assert len(data) == length
        assert isinstance(back, Features)
        assert score(features, back) == 300
        for damaged in (b"", data[:9], data[:-1], data[::-1], bytes(length), b"FMR\0" + data[4:]):
            assert read_template(damaged) is None


class TestLine:
    def test_any_client_at_the_right_speed(self):
        with (
            SimulatedFingerprint(pace=False, baud=19_200) as module,
            serial.Serial(module.open_pty(), 19_200, timeout=1) as port,
        ):
            port.write(encode(Kind.COMMAND, b"\x01"))
            assert port.read(12).hex() == ACK + "000302000c"

    @pytest.mark.parametrize("baud", [9_600, 38_400, 115_200])
    def test_the_wrong_speed_is_not_understood(self, baud):
        with (
            SimulatedFingerprint(pace=False) as module,
            serial.Serial(module.open_pty(), baud, timeout=0.05) as port,
        ):
            port.write(encode(Kind.COMMAND, b"\x01"))
            assert port.read(12) == b""
            assert module.commands == []
            module.say(b"\x55")
            assert port.read(1) not in {b"", b"\x55"}

    def test_a_new_speed_holds_from_the_next_command(self):
        with (
            SimulatedFingerprint(pace=False) as module,
            serial.Serial(module.open_pty(), 57_600, timeout=1) as port,
        ):
            port.write(encode(Kind.COMMAND, b"\x0e\x04\x0c"))
            assert port.read(12).hex() == ACK + "000300000a"
            port.baudrate = 115_200
            port.write(encode(Kind.COMMAND, b"\x01"))
            assert port.read(12).hex() == ACK + "000302000c"

    def test_paced_as_the_line_is(self):
        """1,668 bytes at 57,600 baud are 290 ms; a template cannot come sooner."""
        with (
            SimulatedFingerprint() as module,
            serial.Serial(module.open_pty(), 57_600, timeout=2) as port,
        ):
            began = time.monotonic()
            port.write(encode(Kind.COMMAND, b"\x08\x01"))
            assert len(port.read(12 + 12 * 139)) == 12 + 12 * 139
            assert time.monotonic() - began >= 0.29

    def test_the_master_outlives_its_clients(self):
        with SimulatedFingerprint(pace=False) as module:
            path = module.open_pty()
            for _ in range(3):
                with serial.Serial(path, 57_600, timeout=1) as port:
                    port.write(encode(Kind.COMMAND, b"\x53"))
                    assert len(port.read(12)) == 12

    def test_a_client_that_does_not_read_holds_nobody(self):
        with SimulatedFingerprint(pace=False) as module:
            client = os.open(module.open_pty(), os.O_RDWR | os.O_NOCTTY)
            for _ in range(20):
                os.write(client, encode(Kind.COMMAND, b"\x08\x01"))
            select.select([client], [], [], 1.0)
            os.close(client)

    def test_power_up_and_reset_say_so(self):
        with (
            SimulatedFingerprint(pace=False) as module,
            serial.Serial(module.open_pty(), 57_600, timeout=1) as port,
        ):
            module.unplug()
            module.plug()
            assert port.read(1) == b"\x55"
            port.write(encode(Kind.COMMAND, b"\x3d"))
            assert port.read(13).hex() == ACK + "000300000a55"


class TestScript:
    def test_touches_are_counted(self):
        glass = Glass([Touch("anna", after_polls=2, captures=2), Touch("boris", after_polls=0)])
        seen = [glass.look() for _ in range(8)]
        assert [look and look.finger for look in seen] == [
            None, None, "anna", "anna", None, "boris", None, None,
        ]  # fmt: skip
        assert seen[2] == seen[3]

    def test_repeat(self):
        glass = Glass([Touch("anna", after_polls=1)], repeat=True)
        names = [look and look.finger for look in (glass.look() for _ in range(6))]
        assert names == [None, "anna"] * 3

    def test_read(self, tmp_path):
        path = tmp_path / "s.toml"
        path.write_text(
            'variant = "r307"\n[[touch]]\nfinger = "anna"\ncondition = "wet"\n'
            '[[fault]]\ncommand = "get_image"\nkind = "late"\nlate_s = 0.5\n'
        )
        script = load_script(path)
        assert script.touch == (Touch("anna", Condition.WET),)
        assert script.fault[0].late_s == 0.5

    @pytest.mark.parametrize(
        "text",
        [
            "x", 'variant = "r999"', "[[touch]]", '[[touch]]\nfinger = "a"\ncondition = "dead"',
            '[[fault]]\ncommand = "explode"\nkind = "late"',
            '[[fault]]\ncommand = "match"\nkind = "odd"', "speed = 1",
        ],
    )  # fmt: skip
    def test_refused(self, tmp_path, text):
        path = tmp_path / "s.toml"
        path.write_text(text)
        with pytest.raises(DeviceUnavailable, match="sensor_script"):
            load_script(path)

    def test_the_flash_is_kept(self, tmp_path):
        kept = tmp_path / "flash.json"
        first = Module(R503, Glass(), kept)
        first.glass.place("anna")
        for command in (
            (0x01,),
            (0x02, 1),
            (0x06, 1, 0, 4),
            (0x18, 0, *range(32)),
            (0x12, *b"abcd"),
        ):
            ask(first, *command)
        second = Module(R503, Glass(), kept)
        assert (second.library, second.notes, second.password) == (
            first.library, first.notes, b"abcd",
        )  # fmt: skip
        assert Script().flash == ""
