"""A board whose health stands in a file: `throttled=50005` and `temperature_c=61.5`, a line each.

The words are those of `vcgencmd get_throttled`, in hexadecimal. A line that is missing is what the
board does not tell; without a file the board is well.
"""

from __future__ import annotations

from pathlib import Path

from hal.board import BoardHealth, health_of
from hal.errors import DeviceFault

__all__ = ["SimulatedBoard"]

WELL = health_of(0, 45.0)


class SimulatedBoard:
    """A board.

    Args:
        path: the file, read anew at each call; None for a board that is always well.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def health(self) -> BoardHealth:
        """Return what the file says.

        Raises:
            DeviceFault: it cannot be read, or a line is none of these.
        """
        if self._path is None:
            return WELL
        try:
            lines = self._path.read_text(encoding="utf-8").split()
            values = dict(line.split("=") for line in lines)
            word = values.pop("throttled", None)
            temperature = values.pop("temperature_c", None)
            temperature_c = None if temperature is None else float(temperature)
            bits = None if word is None else int(word, 16)
        except OSError as error:
            raise DeviceFault(f"board: {self._path}: {error.strerror}") from None
        except ValueError:
            raise DeviceFault(f"board: {self._path} is not understood") from None
        if values:
            raise DeviceFault(f"board: {self._path}: {next(iter(values))} is not known")
        if bits is None:
            return BoardHealth(temperature_c=temperature_c)
        return health_of(bits, temperature_c)
