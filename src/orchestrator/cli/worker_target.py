"""MODULE:WORKER on a command line, and what can be wrong with it."""

import importlib
import sys
import traceback
from pathlib import Path

import click

import orchestrator
from orchestrator.worker import AgentWorker


def named(target: str) -> tuple[str, str]:
    """Module and attribute of `MODULE:WORKER`; wrong use where it is not of that form."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise click.UsageError(f"{target!r} is not of the form MODULE:WORKER")
    return module_name, attribute


def found(target: str) -> AgentWorker:
    """The worker of that name, which serves something; else wrong use, or the fault of its module."""
    module_name, attribute = named(target)
    module = _imported(module_name)
    worker: object = getattr(module, attribute, None)
    if worker is None:
        raise click.UsageError(f"module {module_name!r} has no {attribute!r}")
    if not isinstance(worker, AgentWorker):
        raise click.UsageError(f"{target} is of type {type(worker).__name__}, not AgentWorker")
    if not worker.context_ids:
        raise click.UsageError(f"{target} serves nothing: declare an agent with @worker.agent(…)")
    return worker


def _imported(name: str) -> object:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"there is no module {name!r} here or among the installed ones") from error
        raise _import_failed(name, error) from error
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: Exception) -> click.ClickException:
    """One line with the place in the author's file, which is what they need to mend it."""
    not_theirs = ("<frozen ", importlib.__file__, str(Path(orchestrator.__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    places = [f" ({f.filename}:{f.lineno})" for f in frames if not f.filename.startswith(not_theirs)]
    # A SyntaxError says by itself where it is.
    place = places[-1] if places else ""
    return click.ClickException(f"importing {name!r} failed: {type(error).__name__}: {error}{place}")
