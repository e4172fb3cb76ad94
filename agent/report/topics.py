"""The topic tree, in one place; `docs/asyncapi.yaml` is held against it.

Everything of a gate lies under `gates/v1/{site}/{gate}/`, so that a broker's ACL needs one pattern.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from agent.journal.events import EventType

__all__ = [
    "COMMANDS",
    "ROOT",
    "TOPICS",
    "CommandName",
    "GateAddress",
    "Topic",
    "parse_topic",
    "share",
]

ROOT = "gates/v1"
_CLIENT = "idgate-"
_LONGEST_CLIENT_ID = 128
"""What AWS IoT takes; a longer one is made of the name's hash."""


class CommandName(StrEnum):
    """What a gate may be told to do; the names of the roles that operator keys carry."""

    OPEN = "open"
    CLOSE = "close"
    MODE = "mode"
    UPDATE = "update"
    RELOAD = "reload"
    REPLAY = "replay"
    IDENTIFY = "identify"


COMMANDS = tuple(CommandName)


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of topic.

    Attributes:
        path: below the gate's own root.
        retained: whether messages are retained.
        qos: quality of service.
        inbound: True for what a gate receives.
    """

    path: str
    retained: bool
    qos: int
    inbound: bool = False


TOPICS: tuple[Topic, ...] = (
    Topic("status", retained=True, qos=1),
    Topic("info", retained=True, qos=1),
    Topic("state", retained=True, qos=1),
    *(Topic(f"event/{name}", retained=False, qos=1) for name in EventType),
    Topic("metrics", retained=False, qos=0),
    Topic("ack", retained=True, qos=1, inbound=True),
    *(Topic(f"cmd/{name}", retained=False, qos=1, inbound=True) for name in COMMANDS),
    *(Topic(f"rsp/{name}", retained=False, qos=1) for name in COMMANDS),
    Topic("config/desired", retained=True, qos=1, inbound=True),
    Topic("config/reported", retained=True, qos=1),
)


@dataclass(frozen=True, slots=True)
class GateAddress:
    """A gate's place in the tree.

    Attributes:
        site: the site's name.
        gate: the gate's name, unique inside the site.
    """

    site: str
    gate: str

    def topic(self, path: str) -> str:
        """Return the full topic of a path below the gate."""
        return f"{ROOT}/{self.site}/{self.gate}/{path}"

    @property
    def name(self) -> str:
        """`site/gate`, as commands name their audience."""
        return f"{self.site}/{self.gate}"

    @property
    def client_id(self) -> str:
        """`idgate-SITE-GATE`, with each `-` inside a name doubled: a-b/c is not a/b-c.

        A gate's name begins with a letter or digit, so the one odd row of `-` ends in the join.
        """
        joined = "-".join(name.replace("-", "--") for name in (self.site, self.gate))
        if len(joined) > _LONGEST_CLIENT_ID - len(_CLIENT):
            joined = "-" + hashlib.sha256(self.name.encode()).hexdigest()
        return _CLIENT + joined

    @property
    def identifier(self) -> str:
        """`SITE_GATE` of letters, digits, `_` and `-`, another for every gate.

        Inside a name `_` is doubled and `.` becomes `_-`; the join has a letter or digit after it.
        """
        names = (name.replace("_", "__").replace(".", "_-") for name in (self.site, self.gate))
        return "_".join(names)


def parse_topic(topic: str) -> tuple[GateAddress, str] | None:
    """Split a full topic into the gate and the path below it; None for a foreign one."""
    words = topic.split("/", 4)
    if len(words) != 5 or f"{words[0]}/{words[1]}" != ROOT:
        return None
    return GateAddress(words[2], words[3]), words[4]


def share(group: str, path: str) -> str:
    """Return the subscription of a group of collectors for a path of every gate.

    Without a group it is a plain one, for brokers that share nothing.
    """
    if not group:
        return f"{ROOT}/+/+/{path}"
    return f"$share/{group}/{ROOT}/+/+/{path}"
