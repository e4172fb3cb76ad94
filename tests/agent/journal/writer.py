"""A gate's writing half as a process of its own, to be killed: tells each committed row on stdout.

Usage: writer.py JOURNAL BOOT_ID ACKNOWLEDGE. A line is written after the call returned, so what
was told was promised; rows on disk that were not told may exist, one at most.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from agent.journal.events import Decision
from agent.journal.journal import Journal
from agent.journal.model import Way
from agent.reason import Reason


def main() -> None:
    path, boot_id, acknowledge = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "yes"
    journal = Journal.open(path, capacity=2_000, boot_id=boot_id)
    number = 0
    while True:
        number += 1
        use = f"{boot_id}:{number}".encode()
        event = Decision(passage=boot_id, decision="granted", reason=Reason.GRANTED)
        seq = journal.commit_use(use, 2**40, event, Way(use.decode(), "main", "in"))
        os.write(1, f"{seq} {number}\n".encode())
        if acknowledge and number % 7 == 0:
            journal.acknowledge(boot_id, seq - 3)
        if number % 50 == 0:
            journal.maintain()


main()
