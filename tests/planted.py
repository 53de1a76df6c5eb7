"""Secrets that tests plant, and the search for them in what servers have logged."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Constants of tests that are secrets begin like this; tokens look like this whoever made them.
_MARKED: Final = re.compile(rb"planted-[\w-]{3,}")
_TOKEN: Final = re.compile(rb"eyJ[\w-]{10,}\.[\w-]{10,}")


class Planted:
    """Secrets without a mark, like tickets, that a test has come to know."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, secret: str) -> str:
        """Remember `secret`, and give it back."""
        self._secrets.add(secret)
        return secret

    def found_in(self, text: bytes) -> Iterator[str]:
        """Each place where `text` has a secret, with what stands before it."""
        secrets = (re.escape(secret).encode() for secret in self._secrets)
        for pattern in (_MARKED, _TOKEN, *map(re.compile, secrets)):
            for match in pattern.finditer(text):
                yield text[max(0, match.start() - 200) : match.end()].decode(errors="replace")

    def found_below(self, directory: Path) -> Iterator[str]:
        """The same in every log of a server below `directory`."""
        for log in sorted(directory.rglob("*.log")):
            for place in self.found_in(log.read_bytes()):
                yield f"{log}: …{place}"
