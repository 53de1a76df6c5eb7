"""Asks a human before it goes on. Meanwhile the task holds no slot of the worker, and its deadline stands still."""

from orchestrator.worker import AgentWorker, Task

worker = AgentWorker()

YES_OR_NO = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
    "additionalProperties": False,
}


@worker.agent("agent-refund")
async def refund(task: Task) -> dict[str, str]:
    """Pays back what the message says, if somebody approves it within ten minutes."""
    answer = await task.ask(f"Pay back {task.message}?", schema=YES_OR_NO, expires_in=600)
    if answer["approved"]:
        return {"response": f"Paid back {task.message}."}
    return {"response": f"Not paid back: {answer.get('reason', 'no reason given')}."}
