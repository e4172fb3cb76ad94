"""The finger check against a module on a pty: people, references, retries, doubts about the module."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from agent.biometrics.finger.check import VENDOR_TEMPLATE, FingerCheck, FingerRules
from agent.biometrics.finger.guard import PAGE, Guard, SensorSuspect, pair
from agent.biometrics.finger.table import EnrolmentTable, Row
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    ReplayKey,
)
from agent.issuing.issue import finger_template
from agent.passage.events import StartBiometric
from agent.passage.types import Direction, Requirement, Use
from agent.reason import Reason
from hal.errors import SensorError
from hal.fingerprint import PasswordRefused
from hal.simulated.fingerprint_fingers import Condition, Impression
from hal.simulated.fingerprint_script import Fault, FaultKind, Script, Touch

SUBJECT = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32
LENGTHS = {"r503": 1_536, "r307": 512}
MISMATCH, QUALITY, TIMEOUT, GRANTED = (
    Reason.FINGER_MISMATCH, Reason.FINGER_QUALITY, Reason.FINGER_TIMEOUT, Reason.GRANTED,
)  # fmt: skip


def template(finger: str, length: int = 1_536) -> bytes:
    return Impression(finger, touch=10_000).features().template(length)


def carried(finger: str = "anna", family: str = "r503") -> BiometricReference:
    return finger_template(template(finger, LENGTHS[family]), family)


def effect(*references: BiometricReference, timeout_s: float = 5.0) -> StartBiometric:
    credential = Credential(
        format=FormatName.NATIVE, issuer="city", key_id=b"k", kind=Kind.ONLINE_ID,
        level=Level.UPGRADED, subject="s", issued_at=0, valid_from=0, valid_until=1, dynamic=True,
        replay_key=ReplayKey(b"r"), references=references,
    )  # fmt: skip
    use = Use(SUBJECT, Requirement.FINGER, Direction.IN, context=credential)
    return StartBiometric(1, Modality.FINGER, use, timeout_s)


class Room:
    """A module, our sensor on it, and the check."""

    def __init__(self, module, sensor, directory: Path, **options) -> None:
        family = options.pop("family", "r503")
        self.module, self.sensor = module, sensor
        self.table = EnrolmentTable(directory / "fingers.json")
        self.rng = random.Random(options.pop("seed", 7))
        self.secret = options.pop("secret", None)
        self.check = FingerCheck(
            sensor,
            Guard(
                sensor,
                secret=self.secret,
                decoy_rate=options.pop("decoy_rate", 0.0),
                threshold=50,
                rng=self.rng,
            ),
            self.table,
            FingerRules(family, options.pop("threshold", 50), options.pop("retries", 2)),
        )

    def enrol(self, slot: int, finger: str, subject: str = SUBJECT, *, staff: bool = False) -> None:
        self.module.module.library[slot] = template(
            finger, self.module.module.variant.template_length
        )
        self.table.put(Row(slot, subject, staff))

    def touch(self, *touches: tuple[str, Condition] | str) -> None:
        for each in touches:
            finger, condition = (each, Condition.CLEAN) if isinstance(each, str) else each
            self.module.glass.expect(Touch(finger, condition, after_polls=0))

    def run(self, *references: BiometricReference, timeout_s: float = 5.0) -> Reason:
        return self.check(effect(*references, timeout_s=timeout_s), threading.Event())


@pytest.fixture
def room(plug, ours, tmp_path):
    def make(script: Script | None = None, **options) -> Room:
        module, port = plug(script)
        return Room(module, ours(port), tmp_path, **options)

    return make


WET, PARTIAL, TIP, NONE = (
    ("anna", Condition.WET), ("anna", Condition.PARTIAL), ("anna", Condition.TIP),
    ("anna", Condition.NONE),
)  # fmt: skip

PEOPLE = [
    ("the right finger", ["anna"], GRANTED),
    ("a part of it is enough", [PARTIAL], GRANTED),
    ("wet, then dried", [WET, "anna"], GRANTED),
    ("only the tip, then all of it", [TIP, "anna"], GRANTED),
    ("something else first", [NONE, "anna"], GRANTED),
    ("another finger first", ["boris", "anna"], GRANTED),
    ("the third touch still counts", ["boris", WET, "anna"], GRANTED),
    ("an impostor", ["boris", "boris", "boris"], MISMATCH),
    ("the fourth touch does not count", ["boris", "boris", "boris", "anna"], MISMATCH),
    ("wet to the end", [WET, WET, WET], QUALITY),
    ("no picture to the end", [NONE, NONE, NONE], QUALITY),
    ("a mismatch is graver than a smear", ["boris", WET, WET], MISMATCH),
]


@pytest.mark.parametrize("variant", ["r503", "r307"])
@pytest.mark.parametrize(
    ("touches", "reason"), [row[1:] for row in PEOPLE], ids=[row[0] for row in PEOPLE]
)
def test_people_with_a_template_in_their_credential(room, variant, touches, reason):
    here = room(Script(variant=variant), family=variant)
    here.touch(*touches)
    assert here.run(carried(family=variant)) is reason


@pytest.mark.parametrize(
    ("touches", "reason"), [row[1:] for row in PEOPLE], ids=[row[0] for row in PEOPLE]
)
def test_people_who_are_enrolled(room, touches, reason):
    here = room()
    here.enrol(12, "anna")
    here.touch(*touches)
    assert here.run() is reason


class TestTime:
    def test_nobody_comes(self, room):
        here = room()
        began = time.monotonic()
        assert here.run(carried(), timeout_s=0.2) is TIMEOUT
        assert time.monotonic() - began < 1.0
        assert here.module.module.lights[-1][0] == 4  # the ring is dark again

    def test_a_mismatch_is_not_undone_by_leaving(self, room):
        here = room()
        here.touch("boris")
        assert here.run(carried(), timeout_s=0.4) is MISMATCH

    def test_a_finger_that_is_never_lifted_is_one_touch(self, room):
        here = room()
        here.module.glass.place("boris")
        assert here.run(carried(), timeout_s=0.5) is MISMATCH
        assert here.module.commands.count(0x03) == 1

    def test_cancelled(self, room):
        here = room()
        flag = threading.Event()
        flag.set()
        assert here.check(effect(carried()), flag) is Reason.PERSON_LEFT

    def test_the_reference_is_sent_before_the_touch(self, room):
        here = room()
        here.touch("anna")
        here.run(carried())
        commands = here.module.commands
        assert commands.index(0x09) < commands.index(0x01)


ISO = BiometricReference(
    Modality.FINGER, ReferenceForm.TEMPLATE, b"FMR\0 20\0" + bytes(200), 1, "x", 51
)
ISO_UNDER_OUR_NUMBER = finger_template(b"FMR\0 20\0" + bytes(1_528), "r503")
UNFIT = [
    ("ISO 19794-2", ISO),
    ("ISO 19794-2 under the vendor's number", ISO_UNDER_OUR_NUMBER),
    ("ANSI 378", BiometricReference(Modality.FINGER, ReferenceForm.TEMPLATE, bytes(1_536), 0, "r503", 51)),
    ("another family", carried(family="r307")),
    ("another family's name on our length", finger_template(template("anna"), "zfm")),
    ("no family", finger_template(template("anna"), "")),
    ("too short", finger_template(template("anna")[:-1], "r503")),
    ("too long", finger_template(template("anna") + b"\0", "r503")),
    ("empty", finger_template(b"", "r503")),
    ("a face's number", BiometricReference(Modality.FINGER, ReferenceForm.TEMPLATE, bytes(1_536), 100, "r503", 51)),
    ("a picture", BiometricReference(Modality.FINGER, ReferenceForm.IMAGE, b"RIFF", 4, "", 51)),
]  # fmt: skip


class TestReferences:
    @pytest.mark.parametrize("reference", [row[1] for row in UNFIT], ids=[row[0] for row in UNFIT])
    def test_unfit(self, room, reference):
        here = room()
        here.touch("anna")
        assert here.run(reference) is Reason.TEMPLATE_INCOMPATIBLE
        assert 0x09 not in here.module.commands
        assert 0x01 not in here.module.commands  # nobody was asked for a finger in vain

    def test_the_number_is_the_designs(self):
        assert carried().subformat == VENDOR_TEMPLATE == 110

    def test_what_was_wrong_is_logged_without_the_template(self, room, capsys, caplog):
        from agent import log

        log.configure(style="json")
        here = room()
        here.run(ISO)
        written = capsys.readouterr().err + caplog.text
        assert "ISO 19794-2" in written
        assert "FMR" not in written

    def test_none(self, room):
        assert room().run() is Reason.NO_REFERENCE

    def test_an_unfit_one_and_a_slot(self, room):
        here = room()
        here.enrol(3, "anna")
        here.touch("anna")
        assert here.run(ISO) is GRANTED

    def test_one_of_two_carried(self, room):
        here = room()
        here.touch("anna")
        assert here.run(carried("left thumb"), carried("anna")) is GRANTED

    def test_one_of_two_slots(self, room):
        here = room()
        here.enrol(3, "left thumb")
        here.enrol(4, "anna")
        here.touch("anna")
        assert here.run() is GRANTED

    def test_another_subjects_slot_does_not_count(self, room):
        here = room()
        here.enrol(3, "anna", OTHER)
        assert here.run() is Reason.NO_REFERENCE

    def test_a_slot_that_the_module_lost(self, room):
        here = room()
        here.enrol(3, "anna")
        here.module.module.library.clear()
        assert here.run() is Reason.NO_REFERENCE

    def test_length_is_measured_where_it_was_not_known(self, room):
        here = room(Script(variant="r307"), family="r307")
        assert here.sensor.info.template_length is None
        here.touch("anna", "anna")
        wrong = finger_template(template("anna", 1_536), "r307")
        assert here.run(wrong) is Reason.TEMPLATE_INCOMPATIBLE
        assert here.sensor.info.template_length == 512

    def test_the_score_has_a_threshold_of_its_own(self, room):
        """The module says match from 50 on; the gate may ask for more."""
        here = room(threshold=299, retries=0)
        here.touch("anna")
        assert here.run(carried()) is MISMATCH


class TestModule:
    def test_paired(self, room):
        here = room()
        secret = pair(here.sensor)
        again = Room(here.module, here.sensor, Path(here.table._path).parent, secret=secret)
        again.touch("anna")
        assert again.run(carried()) is GRANTED
        assert 0x13 in here.module.commands[-12:]  # the password, at this passage

    def test_exchanged(self, room):
        here = room(secret=bytes(range(32)))
        here.touch("anna")
        with pytest.raises(SensorSuspect, match="exchanged"):
            here.run(carried())

    def test_exchanged_for_one_with_another_password(self, room):
        here = room()
        here.module.module.password = b"evil"
        with pytest.raises(PasswordRefused):
            here.run(carried())

    def test_one_that_always_says_yes_is_found_out(self, room):
        """Whatever is compared, it answers OK and a fine score."""
        here = room(decoy_rate=1.0)
        yes = here.module.module
        yes._do_match = lambda command, _rest: yes._answer(command, 0, (200).to_bytes(2, "big"))
        here.touch("boris")
        with pytest.raises(SensorSuspect, match="decoy"):
            here.run(carried())

    def test_without_decoys_it_would_not_be(self, room):
        here = room(decoy_rate=0.0)
        yes = here.module.module
        yes._do_match = lambda command, _rest: yes._answer(command, 0, (200).to_bytes(2, "big"))
        here.touch("boris")
        assert here.run(carried()) is GRANTED

    @pytest.mark.parametrize("slot", [False, True], ids=["carried", "enrolled"])
    def test_a_decoy_harms_no_honest_person(self, room, slot):
        here = room(decoy_rate=1.0)
        if slot:
            here.enrol(3, "anna")
        here.touch("anna", "boris", "boris", "boris")
        references = () if slot else (carried(),)
        assert here.run(*references) is GRANTED
        assert here.module.commands.count(0x03) == 2
        assert here.run(*references) is MISMATCH

    def test_decoys_come_at_the_rate_that_was_asked(self, room):
        guard = room(decoy_rate=0.25).check._guard
        drawn = sum(guard.draws_decoy() for _ in range(4_000))
        assert 900 < drawn < 1_100

    def test_a_decoy_has_the_same_bytes(self, room):
        here = room(decoy_rate=1.0)
        sound = template("anna")
        here.check._guard.lay_decoy(sound)
        laid = here.sensor.upload(2)
        assert laid != sound
        assert sorted(laid) == sorted(sound)

    def test_the_secret_is_on_its_page(self, room):
        here = room()
        secret = pair(here.sensor)
        assert here.module.module.notes == {PAGE: secret}

    @pytest.mark.parametrize("command", ["download", "extract", "match", "get_image", "light"])
    @pytest.mark.parametrize("kind", [FaultKind.CORRUPT, FaultKind.SILENT, FaultKind.STRAY])
    def test_one_disturbance_is_lived_through(self, room, command, kind):
        here = room()
        here.module.fault(
            Fault(
                command, kind, at_byte=1 if kind is FaultKind.CORRUPT and command == "match" else 0
            )
        )
        here.touch("anna", "anna")
        assert here.run(carried()) is GRANTED

    def test_two_disturbances_are_a_fault(self, room):
        here = room()
        here.module.fault(Fault("extract", FaultKind.SILENT, times=2))
        here.touch("anna", "anna", "anna")
        with pytest.raises(SensorError, match="disturbed"):
            here.run(carried())

    def test_a_dead_one_is_a_fault_in_time(self, room):
        here = room()
        here.module.fault(Fault("extract", FaultKind.UNPLUG))
        here.touch("anna")
        began = time.monotonic()
        with pytest.raises(SensorError):
            here.run(carried())
        assert time.monotonic() - began < 2.0
        here.module.plug()
        here.touch("anna")
        assert here.run(carried()) is GRANTED

    def test_a_light_that_fails_decides_nothing(self, room):
        here = room()
        here.module.fault(Fault("light", FaultKind.SILENT, times=50))
        here.touch("anna")
        assert here.run(carried()) is GRANTED


class TestStaff:
    @pytest.fixture
    def here(self, room):
        here = room()
        here.enrol(5, "guard", OTHER, staff=True)
        here.enrol(6, "anna", SUBJECT)
        return here

    @pytest.mark.parametrize(
        ("finger", "found"), [("guard", OTHER), ("anna", None), ("stranger", None)]
    )
    def test_search(self, here, finger, found):
        here.touch(finger)
        assert here.check.search(5.0, threading.Event()) == found

    def test_nobody(self, here):
        assert here.check.search(0.1, threading.Event()) is None

    def test_a_slot_that_is_in_no_table(self, here):
        """Somebody enrolled himself in the module, past the agent."""
        here.module.module.library[9] = template("intruder")
        here.touch("intruder")
        assert here.check.search(5.0, threading.Event()) is None
