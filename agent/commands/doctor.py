"""`idgate doctor`: checks every part of this gate and says what to do about each failure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]

MARKS = {"ok": "ok  ", "warning": "warn", "failed": "FAIL", "skipped": "-   "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--no-hardware",
        action="store_true",
        help="leave camera, pins and sensor alone, as while the daemon runs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check; 0 all well (warnings included), 1 something failed, 2 settings."""
    from agent.doctor.examine import examine
    from agent.settings.load import load
    from agent.settings.model import ConfigError

    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(f"idgate doctor: {error}", file=sys.stderr)
        return 2
    failed = False
    for finding in examine(config, hardware=not arguments.no_hardware):
        failed = failed or finding.state == "failed"
        if arguments.json:
            text = json.dumps(
                {
                    "part": finding.part,
                    "state": finding.state,
                    "detail": finding.detail,
                    "remedy": finding.remedy,
                }
            )
        else:
            text = f"{MARKS[finding.state]}  {finding.part:<10} {finding.detail}"
            if finding.remedy:
                text += f"\n{'':17}-> {finding.remedy}"
        print(text, flush=True)
    return 1 if failed else 0
