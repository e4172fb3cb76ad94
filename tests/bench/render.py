"""Tables, plots and estimates of the benchmarks' report. Pure but for the pictures it writes.

Estimates for a Raspberry Pi are given as ranges and are not measured: by `FACTORS` from the times of this machine, and
by `CORES` from counted instructions. docs/performance.md says where both come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.stages import Absent, Peer, Stage

FACTORS = {"Pi 4": (4.0, 8.0), "Pi 5": (1.8, 3.5)}
"""CPU time on the Pi's core over this machine's; assumed, see docs/performance.md."""
NETWORK_FACTORS = {"Pi 4": (12.0, 40.0), "Pi 5": (3.0, 8.0)}
"""The same for int8 networks: a Pi 4's core has no dot-product instructions, a Pi 5's has."""
NETWORKS = {"face, detect", "face, embed"}
CORES = {"Pi 4": (1.5, (0.9, 2.05)), "Pi 5": (2.4, (1.2, 2.7))}
"""Clock in GHz, and instructions a cycle, low and high; assumed, see docs/performance.md."""
BLUE, GREY = "#1f6feb", "#b8c2cc"


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many digits that count, without an exponent."""
    places = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, places)}f}"


def span(low: float, high: float) -> str:
    """Return a range as an estimate deserves it: two digits."""
    return f"{number(low, 2)} to {number(high, 2)}"


def pi_time(stage: Stage, core: str) -> tuple[float, float]:
    """Return milliseconds on a Pi's core by the time here: at best and at worst; networks by their own factor."""
    bare = stage.floor_ms if stage.name in NETWORKS else 0.0
    own, network = FACTORS[core], NETWORK_FACTORS[core]
    best, worst = (
        (stage.ms - bare) * one + bare * other for one, other in zip(own, network, strict=True)
    )
    return best, worst


def budget(stages: list[Stage]) -> str:
    """Return each stage here, over its floor, and as estimated on a Pi."""

    rows: list[tuple[object, ...]] = []
    for stage in stages:
        ratio = "" if stage.ratio is None else f"{stage.ratio:.2f}"
        there = (
            ["the card's"] * len(FACTORS)
            if stage.name.startswith("journal")
            else [span(*pi_time(stage, core)) for core in FACTORS]
        )
        rows.append((stage.name, number(stage.ms), stage.floor or "all its own", ratio, *there))
    way = [each for each in stages if each.way and not each.name.startswith("journal")]
    total = Stage("code to relay, without the disk", sum(stage.ms for stage in way))
    there = [span(*pi_time(total, core)) for core in FACTORS]
    rows.append((f"*{total.name}*", number(total.ms), "", "", *there))
    heads = ("stage", "here, ms", "floor", "ratio", *(f"{name}, ms, estimated" for name in FACTORS))
    return table(heads, rows)


def pi_ms(instructions: float, core: str) -> tuple[float, float]:
    """Return milliseconds on a Pi's core for so many of its instructions: at best and at worst."""
    clock, (slow, fast) = CORES[core]
    return instructions / (fast * clock * 1e6), instructions / (slow * clock * 1e6)


def counted(here: Mapping[str, Any] | None, there: Mapping[str, Any] | None) -> str:
    """Return the instructions of each work, where they lie, and what they mean on a Pi.

    Args:
        here: counted by callgrind on this machine; None where it was not asked for.
        there: counted for a Pi's core by QEMU; None likewise.
    """
    if here is None:
        return "Instructions were not counted in this run (`--callgrind`).\n"
    rows: list[tuple[object, ...]] = []
    works = {} if there is None else there["works"]
    for name, work in here["works"].items():
        parts = [f"{lib} {part:.0%}" for lib, part in work["shares"].items() if part >= 0.03]
        arm = works.get(name)
        rows.append(
            (
                name, number(work["ir"] / 1e6), _ratio(work), ", ".join(parts),
                *(("", "", *("" for _ in CORES)) if arm is None else
                  (number(arm["ir"] / 1e6), _ratio(arm), *(span(*pi_ms(arm["ir"], core)) for core in CORES))),
            )
        )  # fmt: skip
    heads = (
        "work", "here, million", "to its floor", "where", "Arm, million", "to its floor",
        *(f"{core}, ms, estimated" for core in CORES),
    )  # fmt: skip
    about = here["environment"]
    said = (
        "Instructions, which no other load moves. "
        f"Here: {about['valgrind']} on {about['machine']}, {about['python'].split(',')[0]}, "
        f"cryptography {about['cryptography']}, zxing-cpp {about['zxing-cpp']}. "
    )
    if there is None:
        return f"{said}For a Pi's core they were not counted (`--arm64`).\n\n{table(heads, rows)}"
    about = there["environment"]
    return (
        f"{said}Arm: QEMU {about['qemu']} as {about['machine']}, {about['python'].split(',')[0]}, "
        f"cryptography {about['cryptography']}, zxing-cpp {about['zxing-cpp']}.\n\n{table(heads, rows)}"
    )


def _ratio(work: Mapping[str, Any]) -> str:
    return "" if work["ratio"] is None else f"{work['ratio']:.2f}"


def compared(peers: list[Peer], absent: list[Absent]) -> str:
    """Return the same work by others; a peer that is not there stands in it too."""
    rows: list[tuple[object, ...]] = []
    for task in dict.fromkeys(peer.task for peer in peers):
        same = [peer for peer in peers if peer.task == task]
        ours = next(peer.ms for peer in same if peer.who.startswith("idgate"))
        rows += [(task, peer.who, number(peer.ms), f"{peer.ms / ours:.2f}") for peer in same]
    rows += [("not measured", each.who, each.why, "") for each in absent]
    return table(("task", "who", "CPU ms", "to idgate"), rows)


def touch(finger: Mapping[str, float]) -> str:
    """Return what the finger's wall time would be, by data sheets."""
    module = finger["image_ms"] + finger["features_ms"] + finger["match_ms"]
    return (
        f"A finger's check sends {finger['bytes']:,.0f} bytes over the line, which takes "
        f"{finger['line_ms']:.0f} ms at {finger['baud']:,.0f} baud, most of it the reference, before the finger is "
        f"there. The module's own work is at most {module:.0f} ms by its data sheet (R503: picture "
        f"{finger['image_ms']:.0f}, features {finger['features_ms']:.0f}, comparison "
        f"{finger['match_ms']:.0f}). Neither was measured.\n"
    )


def report(
    data: dict[str, Any], stages: list[Stage], peers: list[Peer], absent: list[Absent], images: str
) -> str:
    """Return the report's text."""
    way, memory = data["way"], data["memory"]
    parts = [
        f"Measured on: {data['machine']}.\n",
        budget(stages),
        f"![Stages and their floors]({images}performance-stages.png)\n",
        touch(data["finger"]),
        (
            "Whole way on the running daemon, simulated camera and pins: from the frame in hand to "
            f"the relay's edge {way['way_ms']:.1f} ms wall time (median), {way['ratio']:.2f} times "
            "the sum of decoding, verifying and committing inside.\n"
        ),
        counted(data["instructions"], data["arm64"]),
        "The same work by others, in the same run:\n",
        compared(peers, absent),
        f"![Peers]({images}performance-peers.png)\n",
        (
            f"Over {memory['passages']:,} passages: {memory['mib_per_100000']:.2f} MiB of growth "
            f"per 100,000, {memory['files']:+d} open files, {memory['threads']:+d} threads.\n"
        ),
        f"![Memory over passages]({images}performance-memory.png)\n",
    ]
    return "\n".join(parts)


def plot(
    folder: Path, stages: list[Stage], peers: list[Peer], curve: list[tuple[int, float]]
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    _plot_stages(plt, stages, folder / "performance-stages.png")
    _plot_peers(plt, peers, folder / "performance-peers.png")

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([x for x, _ in curve], [y for _, y in curve], color=BLUE)
    axes.set_ylim(0, 1.2 * max(y for _, y in curve))
    axes.set_xlabel("passages")
    axes.set_ylabel("resident memory, MiB")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _save(plt, figure, folder / "performance-memory.png")


def _plot_stages(plt: Any, stages: list[Stage], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(stages) + 1.2), layout="constrained")
    shown = list(enumerate(reversed(stages)))
    ours = axes.barh(
        [r + 0.2 * bool(s.floor) for r, s in shown], [s.ms for _, s in shown], 0.4,
        label="idgate", color=BLUE,
    )  # fmt: skip
    bare = [(r, s) for r, s in shown if s.floor]
    axes.barh(
        [r - 0.2 for r, _ in bare], [s.floor_ms for _, s in bare], 0.4, label="floor: the bare calls inside",
        color=GREY,
    )  # fmt: skip
    texts = [
        number(s.ms) if s.ratio is None else f"{number(s.ms)} = {s.ratio:.2f} x floor"
        for _, s in shown
    ]
    axes.bar_label(ours, texts, padding=3, fontsize=8)
    axes.set_yticks([r for r, _ in shown], [s.name for _, s in shown])
    _milliseconds(
        axes,
        [s.ms for s in stages] + [s.floor_ms for _, s in bare],
        " (the journal's: of the clock)",
    )
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    _save(plt, figure, path)


def _plot_peers(plt: Any, peers: list[Peer], path: Path) -> None:
    tasks = list(dict.fromkeys(peer.task for peer in peers))
    figure, axes = plt.subplots(
        figsize=(8, 0.27 * (len(peers) + 2 * len(tasks)) + 0.8), layout="constrained"
    )
    place, ticks = 0, []
    for task in reversed(tasks):
        for peer in reversed([peer for peer in peers if peer.task == task]):
            bar = axes.barh(place, peer.ms, color=BLUE if peer.who.startswith("idgate") else GREY)
            axes.bar_label(bar, [number(peer.ms)], padding=3, fontsize=8)
            ticks.append((place, peer.who))
            place += 1
        axes.text(0.005, place - 0.2, task, transform=axes.get_yaxis_transform(), va="center",
                  fontweight="bold", fontsize=9)  # fmt: skip
        place += 2
    axes.set_yticks([at for at, _ in ticks], [who for _, who in ticks])
    _milliseconds(axes, [peer.ms for peer in peers])
    _save(plt, figure, path)


def _milliseconds(axes: Any, values: list[float], more: str = "") -> None:
    """Show milliseconds on a logarithmic axis, with room for the numbers beside the bars."""
    axes.set_xscale("log")
    axes.set_xlim(0.5 * min(values), 6 * max(values))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"milliseconds of CPU on this machine{more}, logarithmic")


def _save(plt: Any, figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
