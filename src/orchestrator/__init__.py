"""The Orchestrator: the front door of a multi-tenant agent platform."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache  # told with every heartbeat, and read from a file
def current_version() -> str:
    """The installed version, or `0+unknown` where the source runs without being installed."""
    try:
        return version("orchestrator")
    except PackageNotFoundError:
        return "0+unknown"
