"""The agents of `orchestrator dev`: run them with `orchestrator worker orchestrator.demo:worker`."""

from orchestrator.demo.agents import worker

__all__ = ["worker"]
