"""docs/capacity.md shows what the commands say."""

from benchmarks.capacity.page import PAGE, renewed


def test_the_page_shows_what_the_commands_say() -> None:
    """Plans and costs in the page are those of the code; `python -m benchmarks costs --page` renews them."""
    text = PAGE.read_text()
    assert text.count("$ orchestrator bench plan") == 3
    assert text == renewed(text), "run `python -m benchmarks costs --page`"
