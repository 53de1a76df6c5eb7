"""The Lua files, joined with the parts that they include, and their digests."""

import hashlib
import re
from importlib.resources import files
from typing import Final

_INCLUDE: Final = re.compile(r"^-- include ([a-z_ ]+)$", re.MULTILINE)
_HERE: Final = re.compile(r"^-- here ([a-z_ ]+)$", re.MULTILINE)
# These need none of the steps that a tenant's scripts share.
_ALONE: Final = frozenset(
    {
        "announce",
        "due",
        "exhume",
        "mark_queued",
        "note",
        "push",
        "redeem",
        "reschedule",
        "rights",
        "take",
        "task",
        "withdraw",
    }
    # the dispatch slot
    | {
        "claim",
        "depths",
        "explain",
        "finish",
        "homes",
        "leave",
        "overdue",
        "pause",
        "ready",
        "register",
        "renew",
        "retune",
    }
    | {"served", "still_over", "survey", "turnover"}
)


class Script:
    """One script, ready for `EVALSHA`."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.text: Final = _assemble(name)
        self.digest: Final = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def every_script() -> list[Script]:
    """All scripts, the parts that they include left out."""
    folder = files("orchestrator.broker").joinpath("lua")
    names = sorted(file.name.removesuffix(".lua") for file in folder.iterdir())
    return [Script(name) for name in names if _read(name).startswith("#!lua")]


def _read(name: str) -> str:
    """A file, with the parts that it wants within itself."""
    text = files("orchestrator.broker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return _HERE.sub(lambda within: "\n".join(map(_read, within[1].split())), text)


def _assemble(name: str) -> str:
    """The `#!lua` line stays first: it makes a Cluster refuse keys of other slots."""
    shebang, body = _read(name).split("\n", 1)
    included = _INCLUDE.search(body)
    parts = [] if name in _ALONE else ["prelude", "commit"]
    if included:
        parts += included[1].split()
    return "\n".join([shebang, *map(_read, parts), body])
