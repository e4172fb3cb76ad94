"""Settings from afar against what the gate's own file demands at least."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.daemon.floor import BelowFloor, require_floor
from agent.policy.profile import ProfileError
from agent.settings.load import parse
from agent.settings.model import Config
from agent.trust.snapshot import TrustSnapshot

OURS = b'name = "ours"\ntitle = "O"\nkinds = ["online-id"]\nlevel = 2\nbiometric = "face"\n'
LAX = b'name = "lax"\ntitle = "L"\nkinds = ["library-card"]\ndynamic = false\n'
TRUST = TrustSnapshot(profiles={"ours": OURS, "lax": LAX})

TABLE = [
    ("nothing", "hotel", "", {}, ""),
    ("as much", "hotel", "", {"profile": "railway"}, ""),
    ("as much, from the trust set", "hotel", "", {"profile": "ours"}, ""),
    ("more", "hotel", "", {"profile": "airport"}, ""),
    ("a library card at a face gate", "hotel", "", {"profile": "library"}, "demands less than this gate's file: level 1"),
    ("less, from the trust set", "hotel", "", {"profile": "lax"}, "demands less than this gate's file: level 1"),
    ("less, as the file lets it", "hotel", 'profile = "library"', {"profile": "library"}, ""),
    ("less than the file's floor", "library", 'profile = "hotel"', {"profile": "logistics"}, "demands less"),
    ("nothing chosen, below the floor", "library", 'profile = "hotel"', {}, ""),
    ("among those", "library", 'profiles = ["logistics"]', {"profile": "logistics"}, ""),
    ("not among those", "library", 'profiles = ["hotel"]', {"profile": "logistics"}, "logistics is not among floor.profiles"),
    ("not chosen", "library", 'profiles = ["hotel"]', {}, ""),
    ("as long as allowed", "library", "passage_timeout_s = 8", {"passage_timeout_s": 8.0}, ""),
    ("longer", "library", "passage_timeout_s = 8", {"passage_timeout_s": 8.5}, "gate.passage_timeout_s: 8.5, floor.passage_timeout_s allows 8"),
    ("the file's own", "library", "passage_timeout_s = 2", {}, ""),
    ("as many as allowed", "library", "lockout_failures = 10", {"lockout_failures": 10}, ""),
    ("more failures", "library", "lockout_failures = 10", {"lockout_failures": 11}, "gate.lockout_failures: 11, floor.lockout_failures allows 10 at most"),
    ("as the settings let it", "library", "", {"lockout_failures": 100, "lockout_s": 0.1, "passage_timeout_s": 60.0}, ""),
    ("as short as allowed", "library", "lockout_s = 60", {"lockout_s": 60.0}, ""),
    ("shorter", "library", "lockout_s = 60", {"lockout_s": 59.0}, "gate.lockout_s: 59.0, floor.lockout_s demands 60"),
    ("the file's own lockout", "library", "lockout_s = 600", {}, ""),
    ("a region where there was none", "library", "", {"region": "CN-31"}, ""),
]  # fmt: skip


def settings(profile: str, floor: str, base: Path = Path(), more: str = "") -> Config:
    return parse(
        f'[gate]\nsite = "s"\ngate = "g"\nprofile = "{profile}"\n{more}[floor]\n{floor}\n',
        source="test", base_dir=base,
    )  # fmt: skip


def desired(config: Config, **values: object) -> Config:
    return msgspec.structs.replace(config, gate=msgspec.structs.replace(config.gate, **values))


@pytest.mark.parametrize(
    ("profile", "floor", "values", "said"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_floor(profile: str, floor: str, values: dict[str, object], said: str) -> None:
    config = settings(profile, floor)
    if not said:
        require_floor(config, desired(config, **values), TRUST)
        return
    with pytest.raises(BelowFloor) as caught:
        require_floor(config, desired(config, **values), TRUST)
    assert said in str(caught.value)


def test_a_region_of_the_file_is_not_moved_from_afar() -> None:
    config = settings("library", "", more='region = "DE-BE"\n')
    with pytest.raises(BelowFloor, match="regions CN-31, at most DE-BE"):
        require_floor(config, desired(config, region="CN-31"), TRUST)


@pytest.mark.parametrize("name", ["mine", "../mine.toml", "railway.toml"])
def test_no_file_can_be_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_bytes(LAX)
    config = settings("library", "", tmp_path)
    with pytest.raises(ProfileError, match="neither in the trust set nor shipped"):
        require_floor(config, desired(config, profile=name), TRUST)
    require_floor(settings("mine", "", tmp_path), settings("mine", "", tmp_path), TRUST)
