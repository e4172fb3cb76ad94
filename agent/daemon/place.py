"""From settings to where a code is judged and by which trust; shared by the daemon and `verify`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.credential.model import FormatName
from agent.credential.registry import Tolerance
from agent.policy.judge import Place
from agent.policy.load import load_profile, own_zone_for
from agent.policy.profile import Profile, ProfileError, parse_profile
from agent.settings.model import Config, ConfigError, FaceConfig
from agent.settings.secrets import secret_path
from agent.trust.model import TrustError, TrustView
from agent.trust.snapshot import TrustSnapshot

__all__ = [
    "SITE_KEY_BYTES", "face_settings", "place_of", "profile_of", "read_trust", "site_keys",
    "tolerances_of",
]  # fmt: skip

SITE_KEY_BYTES = 32
MODELS = "manifest.toml"


def place_of(config: Config, trust: TrustView | None = None) -> Place:
    """Return the place that the settings describe.

    Args:
        config: the settings.
        trust: its profiles go before the shipped ones.

    Raises:
        ProfileError: the profile cannot be used.
        ConfigError: a site key cannot be used.
    """
    gate = config.gate
    profile = profile_of(config, trust)
    return Place(
        site=gate.site,
        gate=gate.gate,
        profile=profile,
        direction="out" if gate.direction == "out" else "in",
        zone=gate.zone,
        site_keys=site_keys(config),
        max_trust_age_s=config.trust.max_age_s,
        tolerances=tolerances_of(config),
        own_zone=own_zone_for(profile),
    )


def tolerances_of(config: Config) -> dict[FormatName, Tolerance]:
    """Return how far times may be from the clock, for each format."""
    settings = config.tolerance
    return {
        name: Tolerance(
            future_s=settings.future_s_of.get(name.value, settings.future_s),
            past_s=settings.past_s_of.get(name.value, settings.past_s),
            age_s=settings.age_s,
        )
        for name in FormatName
    }


def read_trust(config: Config, *, now: int) -> TrustSnapshot:
    """Read the trust that the settings name, once.

    Raises:
        TrustError: one line that names the file and the fault.
    """
    directory = config.path(config.trust.directory)
    if config.trust.signed:
        from agent.trust.cache import load_signed

        return load_signed(directory, now)
    from agent.trust.directory import load_directory

    return load_directory(directory, now=now)


def profile_of(config: Config, trust: TrustView | None = None) -> Profile:
    """Return the site profile: from the trust set, shipped, or a file.

    Raises:
        ProfileError: one line that says why not.
    """
    name = config.gate.profile
    try:
        published = None if trust is None else trust.profile(name)
    except TrustError as error:
        raise ProfileError(str(error)) from None
    if published is not None:
        profile = parse_profile(published, source=f"trust set, profile {name}")
    else:
        profile = load_profile(name, base_dir=Path(config.base_dir))
    if not config.gate.region:
        return profile
    # Where the gate stands is the installer's to say, whatever the profile counts as home.
    return msgspec.structs.replace(profile, regions=(config.gate.region,))


def face_settings(config: Config, trust: TrustView | None = None) -> FaceConfig | None:
    """Return the face settings with the models in force: named there, of the trust set, or shipped.

    A set brings models where it brings their manifest.
    """
    face = config.face
    manifest = None if trust is None else trust.model(MODELS)
    if face is None or face.models_dir or manifest is None:
        return face
    return msgspec.structs.replace(face, models_dir=str(manifest.absolute().parent))


def site_keys(config: Config) -> tuple[bytes, ...]:
    """Read the keys for encrypted codes.

    Raises:
        ConfigError: a file cannot be read or is not a key.
    """
    keys = []
    for name in config.trust.site_key_files:
        path = secret_path(name, config.path(""))
        try:
            key = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"key trust.site_key_files: {path}: {error.strerror}") from None
        if len(key) != SITE_KEY_BYTES:
            raise ConfigError(
                f"key trust.site_key_files: {path}: {len(key)} bytes, a site key has 32"
            )
        keys.append(key)
    return tuple(keys)
