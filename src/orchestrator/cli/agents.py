"""`orchestrator agents`."""

from orchestrator.cli.contexts import context_commands

agents = context_commands("agent")
