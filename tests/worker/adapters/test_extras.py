"""What an adapter says where its package is missing."""

import subprocess
import sys

import pytest
from tests.servers import base_environment


def python(code: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, which has imported nothing yet."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("adapter", "package", "extra"),
    [
        ("langgraph", "langgraph", "langgraph"),
        ("langgraph", "langchain_core", "langgraph"),
        ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
        ("openai", "openai", "openai"),
    ],
)
def test_a_missing_package_is_named(adapter: str, package: str, extra: str) -> None:
    """The import fails with the line that mends it."""
    code = f"import sys; sys.modules[{package!r}] = None; import orchestrator.worker.adapters.{adapter}"
    run = python(code)

    assert run.stderr.splitlines()[-1].startswith("ImportError: ")
    assert run.stderr.splitlines()[-1].endswith(f"pip install 'orchestrator[{extra}]'")


def test_the_sdk_needs_none_of_them() -> None:
    """Whoever imports the SDK or the service imports no framework."""
    code = (
        "import sys, orchestrator.worker.adapters, orchestrator.demo, orchestrator.app; print(*sys.modules)"
    )
    run = python(code)

    assert run.returncode == 0, run.stderr
    assert not {"langgraph", "langchain_core", "pydantic_ai", "openai", "pydantic"} & set(run.stdout.split())
