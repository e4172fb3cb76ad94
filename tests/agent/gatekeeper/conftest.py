"""A gate's lines on a simulated board, alone (`Rig`) or behind a server (`House`)."""

from tests.support.house import booted, house, make_house
from tests.support.rig import make_rig, rig

__all__ = ["booted", "house", "make_house", "make_rig", "rig"]
