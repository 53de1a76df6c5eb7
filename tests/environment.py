"""Settings of an environment that a test makes up."""

from orchestrator.setting_table import PREFIX
from orchestrator.settings import Settings, SettingsError


def read(**environ: str) -> Settings:
    """The settings of an environment that holds only `environ`; the prefix is added."""
    return Settings.from_environment({variable(name): value for name, value in environ.items()})


def faults(**environ: str) -> tuple[str, ...]:
    """The faults of an environment, none where it is valid."""
    try:
        read(**environ)
    except SettingsError as error:
        return error.faults
    return ()


def variable(name: str) -> str:
    """The variable's whole name."""
    return name if name in {"REDIS_URL", "DATABASE_URL"} else PREFIX + name
