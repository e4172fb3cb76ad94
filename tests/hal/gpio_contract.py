"""What every GPIO driver must do, told through one jumper wire between two lines.

`OUT` and `BACK` are connected, `FREE` is connected to nothing. A subclass offers `make`, which
returns a new driver on the same wires each time.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hal.errors import DeviceFault
from hal.gpio import Gpio, Pull

OUT, BACK, FREE = 20, 21, 16

Make = Callable[[], Gpio]


class GpioContract:
    @pytest.mark.parametrize("level", [True, False])
    def test_an_output_drives_from_the_first_moment(self, make: Make, level: bool) -> None:
        gpio = make()
        gpio.setup_input(BACK, pull=Pull.DOWN if level else Pull.UP)
        assert gpio.read(BACK) is not level
        gpio.setup_output(OUT, level=level)
        assert gpio.read(BACK) is level
        gpio.close()

    def test_what_is_written_is_read(self, make: Make) -> None:
        gpio = make()
        gpio.setup_output(OUT, level=False)
        gpio.setup_input(BACK, pull=Pull.NONE)
        for level in (True, False, False, True, True, False):
            gpio.write(OUT, level=level)
            assert gpio.read(BACK) is level
            assert gpio.read(OUT) is level
        gpio.close()

    @pytest.mark.parametrize(("pull", "level"), [(Pull.UP, True), (Pull.DOWN, False)])
    def test_a_line_nobody_drives_follows_its_pull(self, make: Make, pull, level) -> None:
        gpio = make()
        gpio.setup_input(FREE, pull=pull)
        assert gpio.read(FREE) is level
        gpio.close()

    def test_an_input_cannot_be_written(self, make: Make) -> None:
        gpio = make()
        gpio.setup_input(FREE, pull=Pull.UP)
        with pytest.raises(DeviceFault, match="pin 16 is not set up as an output"):
            gpio.write(FREE, level=True)
        gpio.close()

    def test_a_line_is_set_up_before_it_is_used(self, make: Make) -> None:
        gpio = make()
        with pytest.raises(DeviceFault, match="pin 16 is not set up"):
            gpio.read(FREE)
        with pytest.raises(DeviceFault, match="pin 16 is not set up as an output"):
            gpio.write(FREE, level=True)
        gpio.close()

    def test_close_lets_go_of_the_lines_and_may_be_called_twice(self, make: Make) -> None:
        gpio = make()
        gpio.setup_output(OUT, level=False)
        gpio.close()
        gpio.close()
        with pytest.raises(DeviceFault):
            gpio.write(OUT, level=True)
        with pytest.raises(DeviceFault, match="closed"):
            gpio.setup_output(OUT, level=True)
        after = make()
        after.setup_input(BACK, pull=Pull.UP)
        assert after.read(BACK) is True, "the closed driver still drives its output low"
        after.close()

    def test_a_line_may_change_its_role(self, make: Make) -> None:
        gpio = make()
        gpio.setup_output(OUT, level=False)
        gpio.setup_input(OUT, pull=Pull.UP)
        gpio.setup_output(BACK, level=False)
        assert gpio.read(OUT) is False
        gpio.write(BACK, level=True)
        assert gpio.read(OUT) is True
        gpio.close()
