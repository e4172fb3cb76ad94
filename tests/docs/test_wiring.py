"""The wiring page names the pins that the agent really uses."""

from __future__ import annotations

import re

import pytest

from agent.daemon.pins import pin_map
from agent.gatekeeper.pinmap import inputs, outputs
from agent.settings.model import Config, GateConfig, GpioConfig
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "wiring.md"
HEADER = {
    2: 3, 3: 5, 4: 7, 5: 29, 6: 31, 7: 26, 8: 24, 9: 21, 10: 19, 11: 23, 12: 32, 13: 33, 14: 8,
    15: 10, 16: 36, 17: 11, 18: 12, 19: 35, 20: 38, 21: 40, 22: 15, 23: 16, 24: 18, 25: 22, 26: 37,
    27: 13,
}  # fmt: skip


def rows() -> dict[str, list[str]]:
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0].startswith("`"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                found[name] = cells[1:]
    return found


ALL = GpioConfig(
    relay_out=1, passage_2=2, door=3, key=4, output="wiegand26", wiegand_d0=7, wiegand_d1=8
)
LINES = pin_map(Config(gate=GateConfig(site="s", gate="g"), gpio=ALL))
OUTPUTS = ["relay", "relay_out", "green", "red", "buzzer", "ready", "wiegand_d0", "wiegand_d1"]


def test_every_pin_of_the_settings_is_on_the_page():
    names = [line.name for line in inputs(LINES)]
    assert sorted(rows()) == sorted(names + OUTPUTS)


@pytest.mark.parametrize("name", sorted(rows()))
def test_row(name):
    gpio, header, direction, rest, active, _ = rows()[name]
    default = getattr(GpioConfig(), name)
    assert gpio == ("-" if default is None else str(default))
    assert header == ("-" if default is None else str(HEADER[default]))
    if name in OUTPUTS:
        level = outputs(LINES)[getattr(ALL, name)]
        assert (direction, rest) == ("out", "high" if level else "low")
    else:
        line = next(line for line in inputs(LINES) if line.name == name)
        assert direction == "in, pull-up" if line.pull_up else "in, pull-down"
        assert active == ("high" if line.active else "low")
    assert {rest, active} == {"high", "low"}
