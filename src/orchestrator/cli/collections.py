"""`orchestrator collections`."""

from orchestrator.cli.contexts import context_commands

collections = context_commands("collection")
