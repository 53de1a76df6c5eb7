"""What the service needs of Redis, and whether the user of REDIS_URL may do it.

Nothing of it is done: `ACL DRYRUN` says what would be refused. Who may not ask that has the commands queued in a
transaction, where Redis checks the rights of each, and the transaction is discarded.
"""

from typing import cast

from orchestrator.broker.connection import Refused, Reply
from orchestrator.broker.rights import Words, needs
from orchestrator.diagnosis.examination import Examination, Server, names
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well


async def rights(exam: Examination) -> list[Finding]:
    """The user may do what the service does."""
    wanted = list(needs(exam.broker.keys))
    findings: list[Finding] = []
    for server in exam.servers:
        user = await _user(server)
        refused = await _dry_run(server, user, wanted)
        if refused is None:
            refused = await _queued(server, wanted)
        if refused is None:
            return [unseen("the user may neither ask for ACL DRYRUN nor use MULTI")]
        if refused:
            shown = names([" ".join(words[:2]) for words in refused])
            findings.append(found(Fault.RIGHTS_MISSING, f"{server.name} refuses {user}: {shown}"))
    return findings or [well(f"all {len(wanted)} kinds of commands that the service needs are allowed")]


async def _user(server: Server) -> str:
    try:
        return cast("bytes", await server.ask("ACL", "WHOAMI")).decode("utf-8", "replace")
    except Refused:
        return "the user of REDIS_URL"


async def _dry_run(server: Server, user: str, wanted: list[Words]) -> list[Words] | None:
    """What would be refused; None where that may not be asked."""
    try:
        await server.ask("ACL", "DRYRUN", user, "PING")
    except Refused:
        return None
    replies = await server.ask_all([("ACL", "DRYRUN", user, *words) for words in wanted])
    return [words for words, reply in zip(wanted, replies, strict=True) if _says_no(reply)]


def _says_no(reply: Reply | Refused) -> bool:
    return isinstance(reply, bytes) and reply != b"OK"


async def _queued(server: Server, wanted: list[Words]) -> list[Words] | None:
    """What is refused when it is queued, and never done; None where there can be no transaction."""
    begun, *replies, _ = await server.ask_all([("MULTI",), *wanted, ("DISCARD",)])
    if isinstance(begun, Refused):
        return None
    return [
        words
        for words, reply in zip(wanted, replies, strict=True)
        if isinstance(reply, Refused) and reply.kind == "NOPERM"
    ]
