"""The training loop that all networks share: a time budget, a sample pool, averaged weights.

The learning rate follows the clock, not a count of steps: on shared cores nobody knows how many
steps an hour holds, and a schedule that ends early or never is worth nothing.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

Arrays = tuple[np.ndarray, ...]


class SamplePool:
    """A ring of composed samples, refreshed by a thread while training draws from it.

    Composing on the cores that also train would halve the speed. Each sample is used about `reuse`
    times, each time under other camera effects; then a new one takes its place.
    """

    def __init__(self, compose: Callable[[], Arrays], capacity: int, reuse: float) -> None:
        self._compose = compose
        self._capacity = capacity
        self._reuse = reuse
        self._drawn = 0
        self._made = 0
        self._stop = threading.Event()
        self._more = threading.Condition()
        self._failure: BaseException | None = None
        first = compose()
        self._store = tuple(np.empty((capacity, *np.shape(a)), np.asarray(a).dtype) for a in first)
        self._put(first)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def draw(self, count: int, rng: np.random.Generator) -> Arrays:
        """Give `count` random samples, stacked.

        Raises:
            RuntimeError: The composing thread died; its exception is the cause.
        """
        with self._more:
            self._more.wait_for(
                lambda: self._failure or self._made >= min(count * 8, self._capacity)
            )
            if self._failure:
                raise RuntimeError("composing samples failed") from self._failure
            self._drawn += count
            filled = min(self._made, self._capacity)
            self._more.notify_all()
        chosen = rng.integers(filled, size=count)
        return tuple(array[chosen] for array in self._store)

    def close(self) -> None:
        """Stop the composing thread."""
        with self._more:
            self._stop.set()
            self._more.notify_all()
        self._thread.join()

    def _put(self, sample: Arrays) -> None:
        for array, value in zip(self._store, sample, strict=True):
            array[self._made % self._capacity] = value
        self._made += 1

    def _ahead(self) -> bool:
        return self._made > self._capacity // 4 and self._made > self._drawn / self._reuse + 256

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                sample = self._compose()
                with self._more:
                    self._put(sample)
                    self._more.notify_all()
                    self._more.wait_for(lambda: self._stop.is_set() or not self._ahead())
        except BaseException as error:  # noqa: BLE001 - raised again by the drawing thread
            with self._more:
                self._failure = error
                self._more.notify_all()


class AveragedWeights:
    """An exponential moving average of a network's parameters: what is exported."""

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self._network = network
        self._decay = decay
        self._steps = 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights in."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for key, value in self._network.state_dict().items():
            self.state[key].lerp_(value, 1 - decay)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train.

    Attributes:
        minutes: Wall time, or 0 to go by `steps`.
        steps: Steps, used when `minutes` is 0.
        batch: Samples a step.
        rate: Highest learning rate; warm-up over 100 steps, then a cosine down to 1 %.
        report_s: Seconds between progress lines and checkpoints.
    """

    minutes: float
    steps: int = 0
    batch: int = 32
    rate: float = 2e-3
    report_s: float = 60.0


def train(
    network: nn.Module,
    batch: Callable[[int], tuple[Tensor, ...]],
    loss: Callable[..., dict[str, Tensor]],
    *,
    schedule: Schedule,
    checkpoint: Path,
    parameters: list[nn.Parameter] | None = None,
) -> nn.Module:
    """Train `network` and leave the averaged weights in `checkpoint` and in the network.

    Args:
        network: Its first argument is the first tensor of a batch.
        batch: Gives a batch of the asked size.
        loss: Called with the network and the batch; the sum of the values it returns is minimised.
        schedule: How long.
        checkpoint: Written at every report and at the end, whole or not at all.
        parameters: What to train besides `network`'s own parameters (a margin head's, say).
    """
    trained = [p for p in network.parameters() if p.requires_grad] + (parameters or [])
    optimiser = torch.optim.AdamW(trained, schedule.rate, weight_decay=1e-4)
    averaged = AveragedWeights(network)
    began = reported = time.monotonic()
    smooth: dict[str, float] = {}
    step = 0
    while (done := _progress(schedule, step, began)) < 1:
        rate = schedule.rate * min(1, (step + 1) / 100) * (0.505 + 0.495 * np.cos(np.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = rate
        parts = loss(network, *batch(schedule.batch))
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, 2.0)
        optimiser.step()
        averaged.update()
        step += 1
        for name, value in parts.items():
            smooth[name] = 0.98 * smooth.get(name, value.item()) + 0.02 * value.item()
        if time.monotonic() - reported > schedule.report_s:
            reported = time.monotonic()
            _report(schedule, step, reported - began, smooth)
            save(averaged.state, checkpoint)
    save(averaged.state, checkpoint)
    _report(schedule, step, time.monotonic() - began, smooth)
    network.load_state_dict(averaged.state)
    return network.eval()


def save(state: dict[str, Tensor], checkpoint: Path) -> None:
    """Write a state so that a reader never sees half of it."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    fresh = checkpoint.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(checkpoint)


def _progress(schedule: Schedule, step: int, began: float) -> float:
    if schedule.minutes:
        return (time.monotonic() - began) / 60 / schedule.minutes
    return step / schedule.steps


def _report(schedule: Schedule, step: int, seconds: float, smooth: dict[str, float]) -> None:
    parts = " ".join(f"{name} {value:.4f}" for name, value in smooth.items())
    speed = step * schedule.batch / max(seconds, 1e-9)
    print(f"{seconds / 60:6.1f} min  step {step}  {speed:.0f}/s  {parts}", flush=True)
