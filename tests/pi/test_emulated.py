"""The pure parts of the emulated Raspberry Pi's harness; the whole of it is `setup.sh emulated-pi`."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import pytest

from tests.pi import initrd, outside, premises, report
from tests.pi.pins import GPLEV0, LENGTH, Change, Drive, drives
from tests.pi.story import Check

RELAY, READY = premises.RELAY, premises.READY


def block(selects: dict[int, int], levels: int) -> bytes:
    """Return a GPIO block with the functions of pins and the levels."""
    registers = [0] * (LENGTH // 4)
    for pin, function in selects.items():
        registers[pin // 10] |= function << pin % 10 * 3
    registers[GPLEV0 // 4] = levels
    return b"".join(value.to_bytes(4, "little") for value in registers)


@pytest.mark.parametrize(
    ("function", "level", "drive"),
    [
        (0, 0, Drive.NOTHING),
        (0, 1, Drive.NOTHING),  # QEMU keeps the level of an output that became an input
        (1, 0, Drive.LOW),
        (1, 1, Drive.HIGH),
        (4, 1, Drive.OTHER),
    ],
)
@pytest.mark.parametrize("pin", [0, 9, 10, 17, 24, 27])
def test_a_pin_is_driven_only_as_an_output(pin, function, level, drive):
    others = {other: 1 for other in range(28) if other != pin}
    # The neighbours are outputs at the other level: each pin is read by itself.
    levels = (level << pin) | (0 if level else (1 << 28) - 1 & ~(1 << pin))
    assert drives(block(others | {pin: function}, levels), [pin]) == {pin: drive}


def test_half_a_block_is_no_block():
    with pytest.raises(ValueError, match="no GPIO block"):
        drives(bytes(LENGTH - 1), [RELAY])


CHANGES = [
    Change(0.0, RELAY, Drive.NOTHING),
    Change(1.0, READY, Drive.LOW),
    Change(2.0, RELAY, Drive.LOW),
    Change(3.0, RELAY, Drive.HIGH),
    Change(4.5, RELAY, Drive.LOW),
    Change(6.0, RELAY, Drive.HIGH),
]


def test_spans_end_where_the_next_begins_or_at_the_end():
    assert report.spans(CHANGES, RELAY, Drive.HIGH, 8.0) == [(3.0, 4.5), (6.0, 8.0)]
    assert report.spans(CHANGES, RELAY, Drive.NOTHING, 8.0) == [(0.0, 2.0)]
    assert report.spans(CHANGES, premises.RED, Drive.HIGH, 8.0) == []


def test_the_page_gets_tables_and_says_what_failed(tmp_path):
    told = SimpleNamespace(
        checks=[
            Check("grant", "opens", "granted", True),
            Check("fire", "held", "off | dark", False),
        ],
        times={"to relay": 0.25, "boot": 140.4},
        marks=[(0.0, "boot"), (2.0, "fire")],
    )
    watch = report.Watch(looks=6000, seconds=60.0, longest_gap_s=0.12, gap_at=1.9)
    text = report.render("a machine", told, watch, "x.png")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.put_into(page, text)
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    for line in (
        "QEMU on: a machine. 1 of 2 checks good.",
        "| fire | held | off \\| dark | **no** |",
        "| to relay | 250 ms |",
        "| boot | 140 s |",
    ):
        assert line in written.splitlines()
    assert (
        "read 6000 times in 1.0 minutes, 120 ms apart at most (in the chapter *boot*)." in written
    )
    report.plot(tmp_path / "pins.png", CHANGES, [(0.0, "boot"), (2.0, "killed")], 0.0, 8.0)
    assert (tmp_path / "pins.png").read_bytes().startswith(b"\x89PNG")


def test_modules_are_loaded_after_what_they_need():
    dependencies = (
        "kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko\n"
        "kernel/fs/mbcache.ko:\nkernel/fs/jbd2/jbd2.ko: kernel/lib/crc.ko.xz\nkernel/lib/crc.ko.xz:\n"
    )
    found = initrd.ordered(dependencies, ("crc", "ext4"))
    names = [path.rsplit("/", 1)[-1] for path in found]
    assert names == ["crc.ko.xz", "jbd2.ko", "mbcache.ko", "ext4.ko"]
    with pytest.raises(ValueError, match="no module nothing"):
        initrd.ordered(dependencies, ["nothing"])


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_the_archive_is_one_that_cpio_reads(tmp_path):
    entries = [("bin", 0o040755, b""), ("bin/odd", 0o100644, b"12345"), ("init", 0o100755, b"#!")]
    done = subprocess.run(
        ["cpio", "--extract", "--quiet", "--make-directories"],
        input=initrd.archive(entries), cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "bin/odd").read_bytes() == b"12345"
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755


def test_the_time_server_answers_as_the_standard_says():
    request = bytes([0x23, 0, 6, 0xEC]) + bytes(36) + b"\x01\x02\x03\x04\x05\x06\x07\x08"
    answer = outside.answer(request, 1_800_000_000.5)
    assert len(answer) == 48
    assert answer[0] == 0x24, "version 4, server, no leap second"
    assert answer[1] == 1
    assert answer[24:32] == request[40:48], "the client's own stamp comes back"
    assert answer[40:48] == (1_800_000_000 + 2_208_988_800).to_bytes(4, "big") + b"\x80\0\0\0"


def test_the_settings_of_the_site_are_valid():
    from agent.policy.profile import Ask, parse_profile
    from agent.settings.load import parse

    config = parse(premises.SETTINGS + premises.FINGER_SETTINGS, source="settings")
    assert (config.gpio.relay, config.gpio.fire) == (premises.RELAY, premises.FIRE)
    assert config.gpio.driver == "rpi-gpio"
    assert config.trust.clock_source == "confirmed"
    assert parse_profile(premises.PROFILE_PLAIN, source="p").biometric is Ask.NONE
    assert parse_profile(premises.PROFILE_FINGER, source="p").biometric is Ask.FINGER


def test_the_picture_is_read_by_the_gates_own_decoder(tmp_path):
    from PIL import Image

    path = tmp_path / "view.png"
    path.write_bytes(premises.picture("NI1:" + "A7" * 700))
    import zxingcpp

    (found,) = zxingcpp.read_barcodes(Image.open(path))
    assert found.text == "NI1:" + "A7" * 700
