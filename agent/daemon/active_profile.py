"""Keeps what the running gate asks in step with the profile: at a reload, and with new trust.

A published profile comes with the trust set, so that every new set may change it. A profile that
cannot be used here leaves the one in force where it is, and is a fault until one can; the trust it
came with is believed all the same, since it may withdraw keys and people.
"""

from __future__ import annotations

from collections.abc import Callable

from agent import log
from agent.controller.memory import JournalMemory
from agent.controller.records import Recorder
from agent.daemon.floor import require_floor
from agent.daemon.place import place_of
from agent.journal.faults import Faults
from agent.policy.judge import Judge
from agent.policy.profile import Profile, ProfileError
from agent.settings.model import Config, ConfigError
from agent.trust.model import TrustView

__all__ = ["ActiveProfile"]

_log = log.get(__name__)


class ActiveProfile:
    """Brings a place into force in every part that holds a piece of it.

    Args:
        config: the settings.
        judge, memory, recorder: what follows the profile.
        require: raises `ConfigError` for a profile that nothing fitted can answer.
        file_config: the file's settings, below whose `[floor]` none from afar may go.
        faults: told of a profile that cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        judge: Judge,
        memory: JournalMemory,
        recorder: Recorder,
        require: Callable[[Profile], None],
        file_config: Config,
        faults: Faults,
    ) -> None:
        self._config = config
        self._judge = judge
        self._memory = memory
        self._recorder = recorder
        self._require = require
        self._file_config = file_config
        self._faults = faults
        self.wrong = ""
        """Why the newest profile is not in force; empty when it is."""

    def follow(self, trust: TrustView) -> None:
        """Read the profile again, from the trust set where it has it; never raises for a bad one.

        Args:
            trust: its profiles go before the shipped ones.
        """
        try:
            require_floor(self._file_config, self._config, trust)
            place = place_of(self._config, trust)
            self._require(place.profile)
        except (ProfileError, ConfigError) as error:
            self.wrong = str(error)
            _log.error("profile refused, the one before stays", fault=self.wrong)
            self._faults.begin("config", "profile_refused", self.wrong)
            return
        self.wrong = ""
        self._faults.end("config", "profile_refused")
        self._recorder.profile = place.profile.name
        self._memory.follow(place.profile)
        self._judge.place = place
