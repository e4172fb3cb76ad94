"""Jobs: seen from outside, stopped between two steps, bounded, and forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agent.desk.jobs import Job, JobError, Jobs, JobState, Progress
from tests.support.desks import NOW, DeskClock


class Stepwise:
    """Work that goes on when the test says so; events, no sleeping."""

    def __init__(self, total: int = 3) -> None:
        self.total = total
        self.at = threading.Event()
        self.go = threading.Semaphore(0)

    def __call__(self, progress: Progress) -> bytes:
        for done in range(self.total):
            self.at.set()
            assert self.go.acquire(timeout=30)
            progress.step(done + 1)
        return b"result"


class Fails:
    total = 1

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, progress: Progress) -> bytes:
        raise self._error


@pytest.fixture
def clock() -> DeskClock:
    return DeskClock()


@pytest.fixture
def jobs(clock) -> Iterator[Jobs]:
    made = Jobs(clock, most=3)
    yield made
    made.close()


def finish(job: Job, work: Stepwise) -> None:
    work.go.release(work.total)
    assert job.wait(30)


def test_a_job_is_seen_to_run_and_its_result_is_for_who_started_it(jobs) -> None:
    work = Stepwise()
    job = jobs.start(work, owner="carla", title="cards")
    assert work.at.wait(30)
    assert (job.state, job.done, job.total, job.over) == (JobState.RUNNING, 0, 3, False)
    assert jobs.get(job.id, "carla") is job
    assert jobs.of("carla") == [job]
    for number, owner in ((job.id, "david"), ("", "carla"), ("x", "carla")):
        with pytest.raises(JobError, match=r"^no such job, or it is over: start it anew$"):
            jobs.get(number, owner)
    finish(job, work)
    assert (job.state, job.done, job.result, job.ended_at) == (JobState.DONE, 3, b"result", NOW)
    assert "result" not in repr(job)


def test_a_job_that_is_stopped_does_no_further_step(jobs) -> None:
    running, waiting = Stepwise(), Stepwise()
    first = jobs.start(running, owner="carla", title="one")
    second = jobs.start(waiting, owner="carla", title="two")
    assert running.at.wait(30)
    assert second.state is JobState.WAITING
    first.stop()
    second.stop()
    finish(first, running)
    assert second.wait(30)
    assert (first.state, first.done, first.result) == (JobState.STOPPED, 1, b"")
    assert (second.state, second.done) == (JobState.STOPPED, 0)
    assert not waiting.at.is_set()


def test_a_job_that_is_dropped_is_nobodys_any_more(jobs) -> None:
    work = Stepwise()
    job = jobs.start(work, owner="carla", title="one")
    assert work.at.wait(30)
    jobs.drop(job.id, "carla")
    with pytest.raises(JobError):
        jobs.get(job.id, "carla")
    finish(job, work)
    assert job.state is JobState.STOPPED


def test_too_many_are_refused_and_what_is_over_makes_room(jobs) -> None:
    works = [Stepwise(1) for _ in range(3)]
    first, *others = (jobs.start(work, owner="carla", title="x") for work in works)
    with pytest.raises(JobError, match=r"^too much is being made already: wait until"):
        jobs.start(Stepwise(1), owner="david", title="x")
    works[0].go.release()
    assert works[1].at.wait(30)  # the one pool thread is past the first
    assert first.over
    last = Stepwise(1)
    others.append(jobs.start(last, owner="david", title="x"))
    with pytest.raises(JobError):
        jobs.get(first.id, "carla")
    for job, work in zip(others, [*works[1:], last], strict=True):
        finish(job, work)


def test_results_are_forgotten_a_quarter_of_an_hour_after_the_end(jobs, clock) -> None:
    work = Stepwise(1)
    job = jobs.start(work, owner="carla", title="x")
    finish(job, work)
    clock.now += 900
    assert jobs.get(job.id, "carla").result == b"result"
    clock.now += 1
    with pytest.raises(JobError):
        jobs.get(job.id, "carla")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no card: the membership is over"), "no card: the membership is over"),
        (KeyError("Ada Lovelace"), "it failed; the desk's log says where"),
    ],
)
def test_a_failure_is_one_line_and_the_log_quotes_nothing(
    jobs, capsys, caplog, error, told
) -> None:
    job = jobs.start(Fails(error), owner="carla", title="x")
    assert job.wait(30)
    assert (job.state, job.error, job.result) == (JobState.FAILED, told, b"")
    said = capsys.readouterr()
    logged = said.out + said.err + caplog.text
    assert "Ada" not in logged
    assert ("KeyError" in logged) is isinstance(error, KeyError)


def test_a_desk_that_closes_stops_all_and_takes_no_more(jobs) -> None:
    work = Stepwise()
    job = jobs.start(work, owner="carla", title="x")
    assert work.at.wait(30)
    closing = threading.Thread(target=jobs.close)
    closing.start()
    work.go.release(3)
    closing.join(30)
    assert job.over
    with pytest.raises(JobError, match=r"^the desk is closing$"):
        jobs.start(Stepwise(), owner="carla", title="x")
    jobs.close()
