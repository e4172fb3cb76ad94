"""A small gate daemon for the kill tests: real process, real gatekeeper, real pins file.

Usage: controller.py CONFIG. Reads words from standard input, one a line, and prints the phase after
each: `code` (a code is seen), `ok REQUIREMENT` (it verifies), `disk` (the mark is on the disk),
`match`, `free`, `locked`. What the gate's inputs say goes into the machine as it comes.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from agent.credential.model import Modality
from agent.daemon.gatekeeper import connector
from agent.daemon.pins import pin_map
from agent.gate.gate import Gate
from agent.passage.events import (
    BiometricDone,
    CloseGate,
    CodesSeen,
    Command,
    Committed,
    HoldGate,
    OpenGate,
    SetMode,
    Show,
    Tick,
    Verified,
)
from agent.passage.machine import start, step
from agent.passage.types import Code, Direction, Mode, Requirement, Rules, Use
from agent.settings.load import load


def main() -> None:
    config = load(Path(sys.argv[1]))
    inbox: queue.Queue = queue.Queue()
    gate = Gate(connector(config), pin_map(config), inbox.put)
    rules = Rules.of(config.gate, config.gpio)
    rules = replace(rules, verify_timeout_s=60.0, commit_timeout_s=60.0, passed_s=60.0)

    def perform(effects) -> None:
        for effect in effects:
            match effect:
                case OpenGate():
                    gate.open(effect.direction, effect.seconds)
                case CloseGate():
                    gate.close()
                case HoldGate():
                    gate.hold(held=effect.held)
                case Show():
                    gate.signal(effect.signal)
                case SetMode():
                    gate.choose(effect.mode)

    mode = gate.begin()
    gate.start()
    gate.ready(ready=True)
    state, effects = start(mode, time.monotonic(), rules)
    perform(effects)

    def listen() -> None:
        for line in sys.stdin:
            inbox.put(line.split())

    threading.Thread(target=listen, daemon=True).start()
    print(f"{state.phase} {state.effective}", flush=True)
    while True:
        try:
            event = inbox.get(timeout=0.02)
        except queue.Empty:
            event = Tick()
        asked = isinstance(event, list)
        if asked:
            event = translate(event, state.attempt)
        state, effects = step(state, event, time.monotonic(), rules)
        perform(effects)
        if asked:
            settle(gate)
            print(f"{state.phase} {state.effective}", flush=True)


def settle(gate: Gate) -> None:
    """Wait until the gatekeeper has told of a poll after it was asked."""
    polls = gate.health().polls
    while gate.health().polls == polls:
        time.sleep(0.001)


def translate(words: list[str], attempt: int):
    match words:
        case ["code"]:
            return CodesSeen((Code(b"a", b"a"),))
        case ["ok", requirement]:
            use = Use("subject", Requirement(requirement), Direction.IN, b"mark")
            return Verified(attempt, b"a", use)
        case ["match"]:
            return BiometricDone(attempt, Modality.FACE, matched=True)
        case ["disk"]:
            return Committed(attempt)
        case ["nothing"]:
            return Tick()
        case [mode]:
            return Command("mode", "t", mode=Mode(mode))
    raise ValueError(words)


main()
