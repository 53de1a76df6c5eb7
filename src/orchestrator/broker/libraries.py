"""The Lua files, joined to libraries that Redis loads once; each script is a function of one of them.

A library and its functions are named by a digest of its text, so that two versions of this program go on side by side.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

PREFIX: Final = "orchestrator_"
_DIGEST: Final = "@DIGEST@"
"""Where it belongs in a text of which it is not known yet."""
_EACH_CALL: Final = "-- In each call:\n"
_FIRST: Final = re.compile(r"^#!lua(?: library=(\w+))?")

_OF_TENANTS: Final = ("prelude", "records", "logs", "course", "commit")
PARTS: Final = {
    # the slot of a tenant
    "callbacks": ("library", *_OF_TENANTS, "attempts", "asks", "callbacks"),
    "tenant": (
        *("library", *_OF_TENANTS, "access", "limits", "attempts", "asks"),
        *("errands", "turns", "waits", "pages", "sockets"),
    ),
    # the slot of the dispatch
    "dispatch": ("library", "dispatch", "runs", "supply"),
    # what needs nothing of these
    "plain": ("library",),
}
"""Of each library what stands before its scripts. Lua has 200 locals in one function, hence more than one."""

OF_WORKERS: Final = {"dispatch", "plain"}
"""What workers of the SDK call; the users of docs/agents.md may not load it themselves."""


class Library:
    """One of them, ready for `FUNCTION LOAD`; `scripts` has its functions by the names of their files."""

    def __init__(self, kind: str, scripts: list[str]) -> None:
        text = _joined(f"{PREFIX}{kind}_{_DIGEST}", PARTS[kind], scripts)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.kind: Final = kind
        self.name: Final = f"{PREFIX}{kind}_{digest}"
        self.scripts: Final = {script: f"{script}_{digest}" for script in scripts}
        self.text: Final = text.replace(_DIGEST, digest)

    def supersedes(self, name: str) -> bool:
        """Whether that is another version of it, and nobody needs that who may not load it."""
        return self.kind not in OF_WORKERS and bool(
            re.fullmatch(rf"{PREFIX}{self.kind}_[0-9a-f]{{12}}", name)
        )


@cache
def libraries() -> dict[str, Library]:
    """Every library, by its kind."""
    scripts: dict[str, list[str]] = {kind: [] for kind in PARTS}
    folder = files("orchestrator.broker").joinpath("lua")
    for name in sorted(file.name.removesuffix(".lua") for file in folder.iterdir()):
        if first := _FIRST.match(_read(name)):
            scripts[first[1] or "tenant"].append(name)
    return {kind: Library(kind, names) for kind, names in scripts.items()}


@cache
def library_of(script: str) -> Library:
    """The one that has it."""
    return next(library for library in libraries().values() if script in library.scripts)


@cache
def _read(name: str) -> str:
    return files("orchestrator.broker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _joined(name: str, parts: tuple[str, ...], scripts: list[str]) -> str:
    """The parts once; each script within a block of its own, so that no other sees what it makes."""
    halves = [_halves(_read(part)) for part in parts]
    before = "".join(call for _, call in halves)
    functions = [_function(script, before) for script in scripts]
    return "".join([f"#!lua name={name}\n", *(made for made, _ in halves), *functions])


def _function(script: str, before: str) -> str:
    first, text = _read(script).split("\n", 1)
    made, call = _halves(text) if _EACH_CALL in text else ("", text)
    flags = ", ".join(f"'{flag}'" for flag in _flags(first))
    name = f"{script}_{_DIGEST}"
    head = f"register({{ function_name = '{name}', flags = {{ {flags} }}, callback = function(KEYS_NOW, ARGV_NOW)"
    return f"do\n{made}{head}\n{before}{call}end }})\nend\n"


def _halves(text: str) -> tuple[str, str]:
    """What a file makes when it is loaded, and what it does in each call."""
    made, _, call = text.partition(_EACH_CALL)
    return made, call


def _flags(first: str) -> list[str]:
    told = re.search(r" flags=([\w,-]+)", first)
    return told[1].split(",") if told else []
