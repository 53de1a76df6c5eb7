"""`orchestrator workflows`."""

from orchestrator.cli.contexts import context_commands

workflows = context_commands("workflow")
