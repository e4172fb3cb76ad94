"""What a gate says of itself: `info`, `state` and `metrics` for the fleet."""

from __future__ import annotations

import math
import resource
from dataclasses import asdict

from agent import __version__, log
from agent.daemon.assembly import Assembly
from agent.daemon.expiry import ExpiryWatch
from agent.reason import Reason
from agent.report.payloads import GateInfo, GateState

__all__ = ["Health"]

VOLATILE = "journal:volatile"
"""How the gate was set up, and not that something of it fails: its health is what it is without."""


_SET_ASIDE_TOLD = 8
"""Files named in `state`; the metric has how many there are."""


class Health:
    """Answers the reporter; quick, from any thread.

    Args:
        assembly: the gate's parts.
        started_at: Unix seconds.
    """

    def __init__(self, assembly: Assembly, started_at: float) -> None:
        self._gate = assembly
        self._started_at = started_at
        self.expiry = ExpiryWatch(assembly.faults)

    def info(self) -> GateInfo:
        """Return what this gate is."""
        config, trust = self._gate.config, self._gate.trust.snapshot
        return GateInfo(
            version=__version__,
            site=config.gate.site,
            gate=config.gate.gate,
            profile=self._gate.judge.place.profile.name,
            direction=config.gate.direction,
            boot_id=self._gate.journal.boot_id,
            started_at=round(self._started_at, 3),
            drivers={
                "gpio": config.gpio.driver,
                **{f"camera-{camera.name}": camera.driver for camera in config.camera},
                **({"engine": config.scan_engine.driver} if config.scan_engine else {}),
                **({"finger": config.finger.driver} if config.finger else {}),
                "board": config.board.driver,
            },
            models=self._gate.biometrics.info(),
            trust_version=trust.version,
            trust_updated_at=trust.updated_at,
            commands=config.mqtt is not None and config.mqtt.commands,
        )

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong now, `part:code`."""
        found = list(self._gate.faults.now())
        if not self._gate.guard.trusted:
            found.append("clock:untrusted")
        if self._gate.trust.error:
            found.append("trust:not_updated")
        if self._gate.trust.snapshot.set_aside:
            found.append("trust:set_aside")
        if self._gate.controller.journal_refuses:
            found.append("journal:failed")
        if not self._gate.journal.has_room():
            found.append("journal:full")
        if self._gate.volatile:
            found.append(VOLATILE)
        return tuple(found)

    def state(self) -> GateState:
        """Return how the gate is."""
        counts, health, faults = (
            self._gate.counters.snapshot(),
            self._gate.gate.health(),
            self.faults(),
        )
        return GateState(
            mode=self._gate.controller.state.effective.value,
            barrier="open" if health.relay_on else "closed",
            health="failed"
            if not health.alive
            else "degraded"
            if set(faults) - {VOLATILE}
            else "ok",
            fire=health.fire,
            tamper=health.tamper,
            clock_trusted=self._gate.guard.trusted,
            trust_age_s=self._gate.trust.age().age_s,
            trust_set_aside=tuple(
                str(entry) for entry in self._gate.trust.snapshot.set_aside[:_SET_ASIDE_TOLD]
            ),
            granted=counts.granted,
            denied=counts.denied,
            passages=counts.passages,
            last_decision=counts.last_decision,
            last_reason=counts.last_reason,
            reasons={Reason(word): times for word, times in counts.reasons.items()},
            latency_ms=counts.latency_ms,
            faults=faults,
            days_left={kind: math.floor(days) for kind, days in self.expiry.days.items()},
        )

    def metrics(self) -> dict[str, float]:
        """Return numbers by name."""
        counts = self._gate.counters.snapshot()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        numbers: dict[str, float] = {
            "granted": counts.granted,
            "denied": counts.denied,
            "annulled": counts.annulled,
            "passages": counts.passages,
            "decoder_incidents": self._decoder_incidents() + self._gate.biometrics.incidents,
            "sightings_dropped": self._gate.controller.dropped,
            "rows_lost": self._gate.controller.lost_rows,
            "log_lines_lost": log.health().lost,
            "gate_late_ms": round(self._gate.gate.health().late_ms, 3),
            "trust_set_aside": len(self._gate.trust.snapshot.set_aside),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "max_rss_kib": usage.ru_maxrss,
        }
        numbers |= self._gate.board.metrics()
        if (engine := self._gate.hardware.engine) is not None:
            numbers |= {f"engine_{name}": count for name, count in asdict(engine.counts).items()}
        numbers |= {f"days_left_{kind}": days for kind, days in self.expiry.days.items()}
        numbers |= {f"denied_{reason}": count for reason, count in counts.reasons.items()}
        for name, value in (("p50", counts.latency_ms), ("p99", counts.latency_p99_ms)):
            if value is not None:
                numbers[f"latency_ms_{name}"] = value
        return numbers

    def _decoder_incidents(self) -> int:
        scanner = self._gate.scanner
        return 0 if scanner is None else sum(scanner.incidents.values())
