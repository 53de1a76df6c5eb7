"""What `--help` ends with: command lines to copy."""


def example(*lines: str) -> str:
    """The epilog of a command: its first character tells click to keep the lines as they are."""
    return "\n".join(("\b", "Example:", *(f"  {line}" for line in lines)))
