"""From settings to the pin map, and the picture of the pins: right pixels at the right time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.pins import pin_map, tracks
from agent.gatekeeper.pinmap import PinMap, pack, unpack
from agent.gatekeeper.words import INPUTS, Mode
from agent.settings.model import Config, ConfigError, GateConfig, GpioConfig, SimulationConfig
from hal.simulated.pinboard import Edge
from hal.simulated.timeline import Mark, draw

MS = 1_000_000
BLUE, WHITE = (31, 111, 235), (255, 255, 255)
LEFT, WIDTH = 16 + 118, 900


def at(picture, ms: float, total_ms: float, row: int = 0) -> tuple[int, int, int]:
    y = 76 + 40 * (row + 1) - 8 - 3
    return picture.getpixel((round(LEFT + WIDTH * ms / total_ms), y))


def test_a_pulse_is_drawn_where_it_was():
    edges = [
        Edge(1000 * MS + 100 * MS, 17, True, True),
        Edge(1000 * MS + 300 * MS, 17, False, True),
    ]
    picture = draw(edges, tracks(GpioConfig()), begin_ns=1000 * MS, end_ns=1900 * MS)
    assert [at(picture, ms, 900) == BLUE for ms in (50, 95, 105, 200, 295, 305, 800)] == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


def test_an_active_low_relay_is_drawn_active_when_low():
    rows = tracks(GpioConfig(relay_active="low"))
    edges = [
        Edge(0, 17, True, True),
        Edge(100 * MS, 17, False, True),
        Edge(200 * MS, 17, True, True),
    ]
    picture = draw(edges, rows, begin_ns=0, end_ns=400 * MS)
    assert [at(picture, ms, 400) == BLUE for ms in (50, 150, 250)] == [False, True, False]


def test_levels_from_before_the_picture_reach_into_it():
    picture = draw(
        [Edge(0, 17, True, True)], tracks(GpioConfig()), begin_ns=500 * MS, end_ns=900 * MS
    )
    assert at(picture, 10, 400) == BLUE
    assert at(picture, 390, 400) == BLUE


def test_lines_that_never_moved_are_left_out_but_the_relay_is_always_there():
    rows = tracks(GpioConfig(passage_2=26))
    assert draw([], rows, begin_ns=0, end_ns=MS).height == 76 + 40 + 44
    lit = [Edge(0, 27, True, True)]
    assert draw(lit, rows, begin_ns=0, end_ns=10 * MS).height == 76 + 80 + 44


def test_marks_and_titles_are_drawn():
    plain = draw([], tracks(GpioConfig()), begin_ns=0, end_ns=100 * MS)
    marks = [Mark(n * MS, f"mark {n}") for n in (1, 2, 3, 99, 1000)]
    marked = draw([], tracks(GpioConfig()), begin_ns=0, end_ns=100 * MS, title="t", marks=marks)
    assert plain.size == marked.size
    assert plain.tobytes() != marked.tobytes()


# --- the pin map


def config(*, gate: dict | None = None, base_dir: str = ".", file: str = "", pins_file: str = "",
           **gpio: object) -> Config:  # fmt: skip
    return Config(
        gate=GateConfig(site="s", gate="g", **gate or {}),
        gpio=GpioConfig(**gpio),
        simulation=SimulationConfig(pins_file=pins_file),
        base_dir=base_dir,
        file=file,
    )


PLAIN = PinMap(
    driver="rpi-gpio",
    direction="in",
    key_mode=Mode.LOCKED,
    high=frozenset({"relay", "lamps", "door"}),
    pins={
        "relay": 17, "green": 27, "red": 22, "buzzer": 23, "ready": 24, "passage": 5, "fire": 6,
        "tamper": 13, "release": 19,
    },
    debounce_ms={"fire": 0, "tamper": 20, "release": 50, "passage": 20},
    poll_hz=200,
    pulse_ms=200,
    open_ms=5_000,
)  # fmt: skip


def test_the_settings_as_they_come():
    assert pin_map(config()) == PLAIN._replace(pulse_ms=0)
    assert pin_map(config(gate={"relay_mode": "pulse"})) == PLAIN


@pytest.mark.parametrize(
    ("gate", "gpio", "changed"),
    [
        ({}, {"driver": "simulated"}, {"driver": "simulated"}),
        ({"direction": "out"}, {}, {"direction": "out"}),
        ({"direction": "both"}, {}, {"direction": "both"}),
        ({"passage_timeout_s": 1.0}, {}, {"open_ms": 1_000}),
        ({"passage_timeout_s": 60.0}, {}, {"open_ms": 60_000}),
        ({"passage_timeout_s": 2.0004}, {}, {"open_ms": 2_000}),
        ({"pulse_ms": 50}, {}, {"pulse_ms": 50}),
        ({"relay_mode": "level", "pulse_ms": 50}, {}, {"pulse_ms": 0}),
        ({}, {"poll_hz": 500}, {"poll_hz": 500}),
        ({}, {"key_mode": "free"}, {"key_mode": Mode.FREE}),
        ({}, {"key_mode": "maintenance"}, {"key_mode": Mode.MAINTENANCE}),
        ({}, {"relay_active": "low"}, {"high": PLAIN.high - {"relay"}}),
        ({}, {"lamps_active": "low"}, {"high": PLAIN.high - {"lamps"}}),
        ({}, {"door_active": "low"}, {"high": PLAIN.high - {"door"}}),
        *(
            ({}, {f"{name}_active": "high"}, {"high": PLAIN.high | {name}})
            for name in ("passage", "release", "key")
        ),
        *(
            ({}, {name: 1}, {"pins": {**PLAIN.pins, name: 1}})
            for name in ("relay", "relay_out", "green", "red", "buzzer", "ready")
        ),
        ({}, {"key": 1}, {"pins": {**PLAIN.pins, "key": 1},
                          "debounce_ms": {**PLAIN.debounce_ms, "key": 20}}),
        ({}, {"passage_2": 1, "passage_debounce_ms": 5},
         {"pins": {**PLAIN.pins, "passage_2": 1},
          "debounce_ms": {**PLAIN.debounce_ms, "passage": 5, "passage_2": 5}}),
        ({}, {"debounce_ms": 100},
         {"debounce_ms": {"fire": 0, "tamper": 100, "release": 50, "passage": 100}}),
        ({}, {"fire_debounce_ms": 30, "release_debounce_ms": 0, "tamper_debounce_ms": 0},
         {"debounce_ms": {"fire": 30, "tamper": 0, "release": 0, "passage": 20}}),
        ({}, {"output": "wiegand26", "wiegand_d0": 1, "wiegand_d1": 2},
         {"pins": {**PLAIN.pins, "wiegand_d0": 1, "wiegand_d1": 2}}),
        ({}, {"output": "osdp", "wiegand_d0": 1, "wiegand_d1": 2}, {}),
        ({}, {"output": "relay", "wiegand_d0": 1, "wiegand_d1": 2}, {}),
    ],
)  # fmt: skip
def test_what_the_gatekeeper_must_know(gate, gpio, changed):
    made = pin_map(config(gate={"relay_mode": "pulse", **gate}, **gpio))
    assert made == PLAIN._replace(**changed)
    assert unpack(pack(made)) == made


@pytest.mark.parametrize(
    "name", ["green", "red", "buzzer", "ready", "passage", "fire", "tamper", "release"]
)
def test_what_is_not_fitted_is_not_in_the_map(name):
    made = pin_map(config(**{name: None}))
    assert set(made.pins) == set(PLAIN.pins) - {name}
    assert set(made.debounce_ms) == set(PLAIN.debounce_ms) - {name}
    assert unpack(pack(made)) == made


def test_where_it_was_made_and_where_its_board_is():
    simulated = {"driver": "simulated", "pins_file": "pins", "base_dir": "/etc/idgate"}
    made = pin_map(config(**simulated, file="/etc/idgate/config.toml"))
    assert (made.device, made.settings) == ("/etc/idgate/pins", "/etc/idgate/config.toml")
    assert pin_map(config(driver="simulated")).device == ""
    assert pin_map(config(pins_file="pins")).device == "", "a real board has no file"


def test_a_board_beside_the_settings_has_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pin_map(config(driver="simulated", pins_file="pins")).device == f"{tmp_path}/pins"


def test_a_path_that_is_too_long_is_a_fault_of_the_settings():
    with pytest.raises(ConfigError, match="a path of the gate has more than 256 bytes"):
        pin_map(config(file="/" + "x" * 256))


@st.composite
def settings(draw) -> Config:
    """Any settings of the lines that the checks let through."""
    optional = ["relay_out", "green", "red", "buzzer", "ready", *INPUTS]
    wiegand = draw(st.sampled_from([None, "wiegand26", "wiegand34"]))
    names = ["relay", *optional, *(("wiegand_d0", "wiegand_d1") if wiegand else ())]
    pins: dict[str, object] = dict(zip(names, draw(st.permutations(range(28))), strict=False))
    for name in draw(st.sets(st.sampled_from(optional))):
        pins[name] = None
    if pins["passage"] is None:
        pins["passage_2"] = None
    level, ms = st.sampled_from(["high", "low"]), st.integers(0, 1_000)
    polarity = ("relay", "lamps", "passage", "release", "door", "key")
    return config(
        gate={
            "direction": draw(st.sampled_from(["in", "out", "both"])),
            "relay_mode": draw(st.sampled_from(["level", "pulse"])),
            "pulse_ms": draw(st.integers(50, 10_000)),
            "passage_timeout_s": draw(st.floats(1, 60)),
        },
        output=wiegand or draw(st.sampled_from(["relay", "osdp"])),
        poll_hz=draw(st.integers(50, 500)),
        key_mode=draw(st.sampled_from(["free", "locked", "maintenance"])),
        debounce_ms=draw(ms),
        fire_debounce_ms=draw(ms),
        tamper_debounce_ms=draw(st.none() | ms),
        file=draw(st.sampled_from(["", "/etc/idgate/config.toml"])),
        **pins,
        **{f"{name}_active": draw(level) for name in polarity},
    )


@given(settings())
def test_whatever_the_settings_are_their_map_is_taken(made):
    """What the settings' types allow is inside the record's ranges."""
    assert msgspec.convert(msgspec.to_builtins(made.gpio), GpioConfig) == made.gpio
    assert unpack(pack(pin_map(made))) == pin_map(made)
