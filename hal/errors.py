"""Errors of the hardware layer: one root, each also the fitting builtin.

A driver that cannot start raises `DeviceUnavailable`; nothing falls back to another driver.
"""

from __future__ import annotations

__all__ = ["CameraTimeout", "DeviceFault", "DeviceUnavailable", "HalError", "SensorError"]


class HalError(Exception):
    """Root of every error that `hal` raises on purpose."""


class DeviceUnavailable(HalError, OSError):
    """The device or its driver is not there, or not ours; the message says what to do."""


class DeviceFault(HalError, OSError):
    """The device was there and stopped working."""


class CameraTimeout(DeviceFault, TimeoutError):
    """No frame arrived within the time given."""


class SensorError(DeviceFault):
    """The fingerprint module answered wrongly, late or not at all."""
