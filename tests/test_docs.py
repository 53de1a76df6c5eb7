"""The documentation says what the code does."""

from pathlib import Path
from typing import Final

from orchestrator.setting_table import SETTINGS, Setting

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def row(setting: Setting) -> str:
    """A setting as docs/settings.md has it."""
    default = f"`{setting.default}`" if setting.default else "–"
    return f"| `{setting.name}` | {default} | {setting.rule.allowed} | {setting.meaning} |"


def test_every_setting_is_documented_as_it_is() -> None:
    """docs/settings.md has one row a setting, with its name, default, allowed values and meaning."""
    lines = (DOCS / "settings.md").read_text().splitlines()

    assert [line for line in lines if line.startswith("| `")] == [row(setting) for setting in SETTINGS]
