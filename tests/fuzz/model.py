"""What a fuzz target is: ways to make an input, and what takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["LONGEST_REFUSAL", "Target", "Wrap", "as_it_is", "one_line"]

Wrap = Callable[[bytes], bytes]

LONGEST_REFUSAL = 2_000
"""Characters: a refusal is for an operator's log, and must not carry the whole input there."""


@dataclass(frozen=True)
class Target:
    """One kind of input from outside.

    Attributes:
        name: as given on the command line.
        layers: ways to turn bytes into an input; the first takes them as they are.
        seeds: sound inputs: the number of a layer, and the bytes for it.
        take: what the product does with an input; whatever comes out of it is a finding, so a
            refusal that is the right answer is caught in it.
        cpu_limit_s: processor time that one input may cost.
    """

    name: str
    layers: tuple[Wrap, ...]
    seeds: tuple[tuple[int, bytes], ...]
    take: Callable[[bytes], None]
    cpu_limit_s: float = 0.020

    def code(self, data: bytes) -> bytes:
        """Return the input that bytes stand for: the first one chooses the layer."""
        if not data:
            return b""
        return self.layers[data[0] % len(self.layers)](data[1:])

    def inputs(self) -> Iterator[bytes]:
        """Yield the seeds as bytes."""
        for layer, data in self.seeds:
            yield bytes([layer]) + data


def as_it_is(data: bytes) -> bytes:
    """Be the first layer."""
    return data


def one_line(error: Exception) -> None:
    """Hold a refusal against what an operator may expect of it.

    Raises:
        AssertionError: it is empty, of several lines, or has no end.
    """
    text = str(error)
    assert text, "a refusal without a word"
    assert len(text) <= LONGEST_REFUSAL, f"a refusal of {len(text)} characters"
    assert text.isprintable() or "\n" not in text, "a refusal of several lines"
