"""A finger at the desk's module: the simulated module, by the real driver."""

from __future__ import annotations

import threading
import time

import pytest

from agent.desk.fingers import FingerModule, Fingers, FingerState
from hal.errors import DeviceUnavailable
from hal.simulated.fingerprint_script import Script, Touch
from tests.support.fingers import ours, plug  # noqa: F401


def wait(fingers, whose):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        step = fingers.step(whose)
        if step.state is not FingerState.WAITING:
            fingers.close()
            return step
        time.sleep(0.01)
    raise TimeoutError


@pytest.fixture
def module(plug, ours):  # noqa: F811
    """A maker of modules at the desk, with who will touch them."""

    def make(*fingers, variant="r307", timeout_s=2.0):
        touches = tuple(Touch(name, after_polls=1, captures=1) for name in fingers)
        _, port = plug(Script(variant=variant, touch=touches))
        return FingerModule(lambda: ours(port), variant, timeout_s)

    return make


def test_two_touches_become_a_template(module):
    fingers, kept = Fingers(module("ada right", "ada right")), []
    assert fingers.there
    assert fingers.begin("me", 51, kept.append).state is FingerState.WAITING
    assert wait(fingers, "me") == (type(fingers.step("me")))(
        FingerState.DONE, "The finger was taken."
    )
    (template,) = kept
    assert (len(template.data), template.issuer, template.position) == (512, "r307", 51)


def test_template_that_no_code_holds_is_refused(module):
    fingers, kept = Fingers(module("ada", "ada", variant="r503")), []
    fingers.begin("me", 51, kept.append)
    step = wait(fingers, "me")
    assert step.state is FingerState.FAILED
    assert "1536 bytes" in step.line
    assert kept == []


def test_nobody_comes(module):
    fingers, kept = Fingers(module(timeout_s=0.2)), []
    fingers.begin("me", 51, kept.append)
    assert "nobody laid a finger" in wait(fingers, "me").line
    assert kept == []


def test_module_that_is_not_there_is_told():
    def broken():
        raise DeviceUnavailable("no module at /dev/ttyUSB9")

    fingers = Fingers(FingerModule(broken, "r307"))
    fingers.begin("me", 51, lambda _: None)
    assert wait(fingers, "me").line == "no module at /dev/ttyUSB9"


def test_one_at_a_time_and_each_sees_the_own():
    gate = threading.Event()

    def slow():
        gate.wait(10)
        raise DeviceUnavailable("later")

    fingers = Fingers(FingerModule(slow, "r307"))
    fingers.begin("me", 51, lambda _: None)
    assert "busy" in fingers.begin("you", 51, lambda _: None).line
    assert "nobody was asked" in fingers.step("you").line
    gate.set()
    assert wait(fingers, "me").line == "later"


@pytest.mark.parametrize("position", [49, 60, -1])
def test_finger_that_nobody_has(module, position):
    step = Fingers(module()).begin("me", position, lambda _: None)
    assert step.line == "there is no such finger"


def test_desk_without_a_module():
    fingers = Fingers(None)
    assert not fingers.there
    assert "no fingerprint module" in fingers.begin("me", 51, lambda _: None).line
    fingers.close()
