"""Clears what a gate that is gone left retained at the broker, so that nobody sees it any more."""

from __future__ import annotations

import time

from agent.report.link import Connected, Delivered, Link, LinkError, LinkSettings, Lost, Message
from agent.report.topics import TOPICS, GateAddress

__all__ = ["clear_retained"]

_REFUSAL = 128


def clear_retained(settings: LinkSettings, gate: GateAddress, *, timeout_s: float = 10.0) -> None:
    """Delete every retained message of a gate's topics.

    Raises:
        LinkError: the broker is not there, refuses us, or does not answer in time.
    """
    end = time.monotonic() + timeout_s
    link = Link(settings)
    waiting = [gate.topic(topic.path) for topic in TOPICS if topic.retained]
    left = len(waiting)
    try:
        while left and time.monotonic() < end:
            link.wait(0.2)
            while link.happenings:
                match link.happenings.popleft():
                    case Connected(code=0):
                        for topic in waiting:
                            link.publish(Message(topic, b"", retain=True))
                    case Connected(text=text) | Lost(text=text):
                        raise LinkError("refused", text)
                    case Delivered(code=code, topic=topic) if code >= _REFUSAL:
                        why = f"the broker lets us not clear {topic} (reason {code}): see its ACL"
                        raise LinkError("refused", why)
                    case Delivered():
                        left -= 1
                    case _:
                        continue
    finally:
        link.close()
    if left:
        raise LinkError("unreachable", "the broker does not answer")
