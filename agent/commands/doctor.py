"""`idgate doctor`: checks every part of this gate and says what to do about each failure.

Called by root where the service is installed, it looks as the service: what the unit's user may not
read and its sandbox refuses is then seen. Else it says that it looks from outside.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands import colours
from agent.exits import Exit

if TYPE_CHECKING:
    from agent.doctor.examine import Finding

__all__ = ["add_arguments", "run"]

MARKS = {"ok": "ok  ", "warning": "warn", "failed": "FAIL", "skipped": "-   "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--color", choices=colours.WHEN, default="auto", help="colour the words on a terminal"
    )
    parser.add_argument(
        "--no-hardware",
        action="store_true",
        help="leave camera, pins and sensor alone, as while the daemon runs",
    )
    view = parser.add_mutually_exclusive_group()
    view.add_argument(
        "--as-service",
        action="store_true",
        help="look as the installed service or not at all; root does where it can",
    )
    view.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Check; 0 all well (warnings included), 1 something failed, 2 settings."""
    from agent.doctor.examine import Finding, examine
    from agent.doctor.sandbox import UNIT, ServiceView, look_for_service
    from agent.settings.load import load
    from agent.settings.model import ConfigError

    if arguments.inside:
        view = Finding("view", "ok", f"as {UNIT} sees it")
    else:
        service = look_for_service()
        if isinstance(service, ServiceView):
            return service.run(_words(arguments))
        if arguments.as_service:
            print(f"idgate doctor: not as the service: {service}", file=sys.stderr)
            return Exit.SETTINGS
        view = Finding("view", "skipped", f"from outside of the service's sandbox: {service}")
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(f"idgate doctor: {error}", file=sys.stderr)
        return Exit.SETTINGS
    coloured = colours.wanted(sys.stdout, arguments.color)
    _say(view, as_json=arguments.json, coloured=coloured)
    failed = False
    for finding in examine(config, hardware=not arguments.no_hardware):
        failed = failed or finding.state == "failed"
        _say(finding, as_json=arguments.json, coloured=coloured)
    return Exit.NO if failed else Exit.DONE


def _words(arguments: argparse.Namespace) -> list[str]:
    """Return the command line that asks the same from inside."""
    words = ["doctor", "--config", str(arguments.config.absolute()), "--inside"]
    if arguments.json:
        words.append("--json")
    else:  # the service's environment is not the terminal's
        coloured = colours.wanted(sys.stdout, arguments.color)
        words += ["--color", "always" if coloured else "never"]
    if arguments.no_hardware:
        words.append("--no-hardware")
    return words


def _say(finding: Finding, *, as_json: bool, coloured: bool) -> None:
    if as_json:
        text = json.dumps(
            {
                "part": finding.part,
                "state": finding.state,
                "detail": finding.detail,
                "remedy": finding.remedy,
            }
        )
    else:
        mark = MARKS[finding.state]
        mark = colours.paint(mark, finding.state) if coloured else mark
        text = f"{mark}  {finding.part:<10} {finding.detail}"
        if finding.remedy:
            text += f"\n{'':17}-> {finding.remedy}"
    print(text, flush=True)
