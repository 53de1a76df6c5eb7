"""deliver_huge.lua: a callback of megabytes is judged by its head and tail, where it lies."""

import json

from tests.broker.tenant import Tenant, callback, counted

from orchestrator.broker.callbacks import HUGE_BYTES

PADDING = {"response": "x" * HUGE_BYTES}


async def test_an_ending(tenant: Tenant) -> None:
    """A huge ending ends its task as failed, wherever in the object its task is named."""
    for members in (["task_id", "status", "result"], ["result", "task_id", "status"]):
        task = await tenant.task()
        whole = {"task_id": task, "status": "completed", "result": PADDING}
        tenant.report(json.dumps({name: whole[name] for name in members}).encode())
        delivered = await tenant.callbacks.deliver_huge(tenant.name)
        assert (delivered.taken, delivered.left, delivered.ended[0].task) == (1, 0, task)
        assert (await tenant.record(task))["code"] == b"result_too_large"


async def test_anything_else(tenant: Tenant) -> None:
    """What is no ending, or nobody's, is a dead letter; the task goes on."""
    task = await tenant.task()
    tenant.report(callback(task, "progress", PADDING))
    assert counted(await tenant.callbacks.deliver_huge(tenant.name)) == {"dead|too_large": 1}
    tenant.report(callback("task-nobodys", "completed", PADDING))
    assert counted(await tenant.callbacks.deliver_huge(tenant.name)) == {"dead|unknown_task": 1}
    assert (await tenant.record(task))["status"] == b"accepted"


async def test_another_one_at_the_head(tenant: Tenant) -> None:
    """A smaller one is left for deliver.lua."""
    tenant.report(callback("task-x", "completed"))
    delivered = await tenant.callbacks.deliver_huge(tenant.name)
    assert (delivered.taken, delivered.left, delivered.stop) == (0, 1, "moved")
