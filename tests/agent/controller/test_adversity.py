"""The controller against a hostile crowd, a broken disk and bad timing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.controller.biometric_checks import BiometricChecks
from agent.controller.records import Recorder, Trace
from agent.credential.model import Credential, Modality
from agent.issuing.issue import face_template, finger_template, present, sign_credential
from agent.journal import events
from agent.journal.journal import Journal, JournalFull
from agent.passage.events import (
    BiometricDone,
    Command,
    FireChanged,
    PassageSensed,
    Record,
    ReleasePressed,
    StartBiometric,
)
from agent.passage.types import (
    Direction,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Use,
)
from agent.policy.judge import Judgement
from agent.policy.profile import ProfileError, parse_profile
from agent.reason import Reason
from tests.agent.controller.support import PROFILE, Bench

BOTH = PROFILE + 'biometric = "both"\n'


def command(name: str, mode: Mode | None = None, **more: object) -> Command:
    return Command(name, "t", None, mode, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [Mode.LOCKED, Mode.FREE])
def test_codes_that_nobody_judges_leave_nothing_behind(bench: Bench, mode: Mode) -> None:
    """A gate stands in free mode for weeks, and every phone makes a new code each few seconds."""
    bench.controller.handle(command("mode", mode))
    for number in range(60):
        bench.show(bench.code(subject=str(number)))
        bench.clear(2.0)
    assert len(bench.controller._sightings) <= 1
    assert len(bench.controller._traces) <= 16
    assert len(bench.controller.state.held) <= 8


def with_both(bench: Bench) -> str:
    now = int(bench.clock.now)
    credential = sign_credential(
        bench.issuer, bench.holder, subject="1", issued_at=now - 10, valid_until=now + 1000,
        kind="library-card", level=1,
        references=[face_template(bytes(128), "m"), finger_template(bytes(512), "f")],
    )  # fmt: skip
    return present(credential, bench.holder, at=now)


def answer(bench: Bench, modality: Modality, reason: Reason = Reason.GRANTED) -> None:
    matched = reason is Reason.GRANTED
    attempt = bench.controller.state.attempt
    bench.controller.handle(BiometricDone(attempt, modality, matched=matched, reason=reason))


def test_half_of_what_is_asked_forgives_no_failures_even_over_a_restart(tmp_path: Path) -> None:
    """The right face each time, and another's finger: a plug that is pulled gives no more tries."""
    bench = Bench(tmp_path, BOTH)
    for _ in range(2):
        bench.show(with_both(bench))
        answer(bench, Modality.FACE)
        answer(bench, Modality.FINGER, Reason.FINGER_MISMATCH)
        bench.clear(4.0)
    subject = next(iter(bench.controller._traces.values())).subject
    assert subject is not None
    bench.show(with_both(bench))
    answer(bench, Modality.FACE)
    answer(bench, Modality.FINGER, Reason.FINGER_MISMATCH)
    bench.journal.close()
    again = Journal.open(tmp_path / "j.sqlite", clock=bench.clock.wall)
    assert again.locked_until(subject.local, limit=3) is not None
    again.close()


def test_a_passage_forgives(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOTH)
    for finger in (Reason.FINGER_MISMATCH, Reason.FINGER_MISMATCH, Reason.GRANTED):
        bench.show(with_both(bench))
        answer(bench, Modality.FACE)
        answer(bench, Modality.FINGER, finger)
        bench.clear(4.0)
    subject = next(iter(bench.controller._traces.values())).subject
    assert subject is not None
    assert bench.journal.locked_until(subject.local, limit=1) is None
    bench.journal.close()


def test_a_release_in_mid_check_forgives_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PROFILE + 'biometric = "either"\n')
    bench.show(with_both(bench))
    answer(bench, Modality.FACE, Reason.FACE_MISMATCH)
    bench.controller.handle(ReleasePressed())
    assert bench.controller.state.phase is Phase.OPEN
    subject = next(iter(bench.controller._traces.values())).subject
    assert subject is not None
    assert bench.journal.locked_until(subject.local, limit=1) is not None
    bench.journal.close()


def test_a_journal_that_cannot_be_asked_denies_and_stops_nothing(bench: Bench) -> None:
    bench.journal._quick.close()
    bench.show(bench.code())
    assert not any(word.startswith("open") for word in bench.gate.asked)
    assert [row.reason for row in bench.decisions()] == [Reason.JOURNAL_FAILED]
    bench.clear(2.0)
    bench.controller.handle(FireChanged(active=True))
    assert bench.controller.state.fire


def test_counters_that_are_read_again_are_never_missing(tmp_path: Path) -> None:
    """After a commit that failed the counters are read anew, while the reporter goes on asking."""
    journal = Journal.open(tmp_path / "j.sqlite", synchronous="OFF")
    for _ in range(3):
        journal.append(events.Tamper(input="housing", active=True))
    writer, seen = journal._writer, []

    class Watched:
        def execute(self, *words: object) -> object:
            seen.append((journal.head().seq, len(journal), journal.first_pending()))
            return writer.execute(*words)  # type: ignore[arg-type]

    journal._writer = Watched()  # type: ignore[assignment]
    journal._reload()
    journal._writer = writer
    journal.close()
    assert len(seen) >= 2
    assert set(seen) == {(3, 3, (1, 1))}


def test_a_command_that_waited_too_long_opens_nothing(bench: Bench) -> None:
    now = bench.clock.monotonic_ns() / 1e9
    bench.controller.handle(command("open", until=now - 0.1))
    bench.controller.handle(command("mode", Mode.FREE, until=now - 0.1))
    assert bench.answers == [("t", False, Reason.STALE)] * 2
    assert bench.controller.state.phase is Phase.IDLE
    assert bench.modes == []
    bench.controller.handle(command("open", until=now + 1))
    assert bench.controller.state.phase is Phase.OPEN


def test_a_mode_that_somebody_chooses_outlasts_the_fault_that_chose_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, journal_full="free")

    def refuse(*_: object) -> int:
        raise JournalFull("full")

    room = [False]
    monkeypatch.setattr(bench.journal, "commit_use", refuse)
    monkeypatch.setattr(bench.journal, "has_room", lambda: room[0])
    bench.show(bench.code())
    assert bench.controller.state.mode is Mode.FREE
    assert bench.modes == [], "a fault's choice is not kept"
    bench.controller.handle(command("mode", Mode.FREE))
    assert bench.modes == [Mode.FREE]
    room[0] = True
    bench.later(1.0)
    assert bench.controller.state.mode is Mode.FREE
    bench.journal.close()


def test_one_place_judges_a_code_to_the_end(bench: Bench) -> None:
    """A reload brings another profile into force between reading a code and deciding on it."""
    judge = bench.controller._ports.judge
    stricter = parse_profile(PROFILE.replace("library-card", "passport"), source="p")
    memory = judge._memory
    asked = memory.was_used

    def reload_meanwhile(credential: Credential, now: int) -> bool:
        judge.place = replace(judge.place, profile=stricter)
        return asked(credential, now)

    memory.was_used = reload_meanwhile  # type: ignore[method-assign]
    bench.show(bench.code())
    assert bench.decisions()[-1].reason is Reason.GRANTED
    bench.controller.handle(PassageSensed())
    bench.clear(3.0)
    bench.show(bench.code())
    assert bench.decisions()[-1].reason is Reason.KIND_NOT_ACCEPTED


@pytest.mark.parametrize("name", ["Große Halle", "main hall", "", "x" * 129, "-"])
def test_a_profile_whose_name_no_event_could_carry_is_refused(name: str) -> None:
    with pytest.raises(ProfileError, match="name"):
        parse_profile(PROFILE.replace('name = "p"', f'name = "{name}"'), source="p")


@given(
    issuer=st.text(min_size=1, max_size=300),
    kid=st.binary(min_size=1, max_size=256),
    reason=st.sampled_from(Reason),
    what=st.sampled_from([Occurrence.GRANTED, Occurrence.DENIED]),
    ms=st.floats(0, 1e9),
)
def test_whatever_a_trust_set_names_an_event_can_say_it(
    issuer: str, kid: bytes, reason: Reason, what: Occurrence, ms: float
) -> None:
    """A row that its own schema refuses would stop the deciding thread at each such code."""
    credential = _sound()
    object.__setattr__(credential, "issuer", issuer)
    object.__setattr__(credential, "key_id", kid)
    judged = Judgement(reason, credential.format, credential=credential)
    trace = Trace("ab" * 16, judgement=judged, stages_ms={"decode": ms})
    recorder = Recorder(boot_id="ab" * 16, profile="p", zone="main")
    record = Record(RecordKind.DECISION, what, reason, attempt=1)
    event = recorder.decision(record, trace, now_ns=0)
    assert events.encode_data(event)


def _sound() -> Credential:
    if not _SOUND:
        import tempfile

        with tempfile.TemporaryDirectory() as name:
            bench = Bench(Path(name))
            bench.show(bench.code())
            trace = next(iter(bench.controller._traces.values()))
            assert trace.judgement is not None
            assert trace.judgement.credential is not None
            _SOUND.append(trace.judgement.credential)
            bench.journal.close()
    return replace(_SOUND[0])


_SOUND: list[Credential] = []


@pytest.fixture
def stuck() -> Iterator[tuple[BiometricChecks, threading.Event]]:
    go = threading.Event()

    def hang(_effect: StartBiometric, _flag: threading.Event) -> Reason:
        go.wait(30)
        return Reason.FACE_NOT_FOUND

    checks = BiometricChecks(
        {Modality.FACE: hang}, post=lambda _done: None, on_fault=lambda *_: None
    )
    thread = threading.Thread(target=checks.run, args=(Modality.FACE,), daemon=True)
    thread.start()
    yield checks, go
    go.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_check_that_hangs_does_not_keep_the_gate_from_stopping(
    stuck: tuple[BiometricChecks, threading.Event],
) -> None:
    checks, _ = stuck
    use = Use("subject", Requirement.FACE, Direction.IN)
    for attempt in range(1, 10):
        checks.start(StartBiometric(attempt, Modality.FACE, use, 8.0))
        while attempt == 1 and not checks._queues[Modality.FACE].empty():
            threading.Event().wait(0.001)
    assert checks._queues[Modality.FACE].full()
    checks.close()
