"""Our functions: given to a server when it has to have them, and nothing of one call left for the next."""

import asyncio
import re
from itertools import combinations

import pytest
from tests.broker.tenant import Tenant
from tests.servers import SOURCE

from orchestrator.broker.connection import Refused
from orchestrator.broker.libraries import PARTS, libraries, library_of

FILES = {path.stem: path.read_text() for path in (SOURCE / "orchestrator" / "broker" / "lua").glob("*.lua")}
OURS = {library.name for library in libraries().values()}
CONSTANT, PER_CALL = r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ", r"^local ([a-zA-Z_]+(?:, [a-zA-Z_]+)*)$"
# What may stand at the top level of what is made once: functions, constants, and names that each call sets.
MADE_ONCE = re.compile(
    rf"local function |end$|}}$|--|#!lua|$|local register = |(?:{CONSTANT})|(?:{PER_CALL})"
)


def halves(name: str) -> tuple[str, str]:
    """What the file makes when it is loaded, and what it does in each call, without comments."""
    made, found, call = FILES[name].partition("-- In each call:\n")
    if not found:
        made, call = ("", made) if made.startswith("#!lua") else (made, "")
    return made, re.sub(r"--.*", "", call)


def names(pattern: str, text: str) -> list[str]:
    """What these declarations name."""
    return [name for found in re.findall(pattern, text, re.MULTILINE) for name in found.split(", ")]


def there(tenant: Tenant) -> set[str]:
    """The libraries that the server has."""
    listed = tenant.client.function_list()
    return {entry[entry.index(b"library_name") + 1].decode() for entry in listed}


def test_what_is_made_once_stays_as_it_is() -> None:
    """Nothing that can change stands at the top level of a file, unless every call sets it first."""
    for name in FILES:
        made, call = halves(name)
        for line in made.splitlines():
            assert line.startswith(" ") or MADE_ONCE.match(line), (name, line)
        unset = set(names(PER_CALL, made)) - set(names(r"^(\w+(?:, \w+)*) = ", call))
        assert not unset or name == "library", (name, unset)


def test_constants_are_constant() -> None:
    """No table that all calls share is ever written."""
    written = r"(?<!local )\b{}(?:\.\w+|\[[^\]]*\])* = |table\.insert\({}\b"
    everything = re.sub(CONSTANT, "", "\n".join(FILES.values()), flags=re.MULTILINE)
    for name in FILES:
        for constant in names(CONSTANT, halves(name)[0]):
            assert not re.search(written.format(constant, constant), everything), (name, constant)


def test_functions_are_made_once() -> None:
    """No call makes one, which takes longer than most of what it would do."""
    for name in FILES:
        assert "function" not in halves(name)[1], name


@pytest.mark.parametrize("kind", PARTS)
def test_parts_have_names_of_their_own(kind: str) -> None:
    """Parts of a library see one another: two things of one name would be mistaken for each other."""
    declared = r"^local (?:function )?(\w+(?:, \w+)*)(?:\(| = |$)"
    for one, other in combinations(PARTS[kind], 2):
        assert not set(names(declared, halves(one)[0])) & set(names(declared, halves(other)[0])), (one, other)


async def test_flushed(tenant: Tenant) -> None:
    """A server that has lost them is given them by the next call, also where many come at once."""
    tenant.client.function_flush()
    await asyncio.gather(*(tenant.task() for _ in range(20)))
    assert there(tenant) < OURS
    assert library_of("admit").name in there(tenant)


async def test_loaded_at_the_start(tenant: Tenant) -> None:
    """All are loaded, however many do so at once; once they are there nothing is."""
    tenant.client.function_flush()
    await asyncio.gather(*(tenant.broker.load_functions() for _ in range(3)))
    assert there(tenant) == OURS
    tenant.client.config_resetstat()
    await tenant.broker.load_functions()
    assert {name for name in tenant.client.info("commandstats") if "function" in name} == {
        "cmdstat_function|list"
    }


@pytest.mark.parametrize("kind", PARTS)
async def test_another_version(tenant: Tenant, kind: str) -> None:
    """A library that is loaded takes the place of older ones, but for what workers call who may not load it."""
    old, foreign = f"orchestrator_{kind}_0123456789ab", f"orchestrator_{kind}s"
    tenant.client.function_flush()
    for name in (old, foreign):
        text = f"#!lua name={name}\nredis.register_function('{name}', function() return 1 end)"
        tenant.client.function_load(text)
    await tenant.task()
    assert {old, foreign} < there(tenant)  # what is loaded on demand takes no place
    tenant.client.execute_command("FUNCTION", "DELETE", library_of("admit").name)

    await tenant.broker.load_functions()
    stays = {foreign, old} if kind in {"dispatch", "plain"} else {foreign}
    assert there(tenant) == OURS | stays
    assert tenant.client.fcall(foreign, 0) == 1


async def test_may_not_load(tenant: Tenant) -> None:
    """Whoever may not load a library is told who does."""
    tenant.client.function_flush()
    tenant.client.execute_command("ACL", "SETUSER", "default", "-function|load")
    try:
        with pytest.raises(Refused, match=r"NOPERM .*the service loads them when it starts"):
            await tenant.broker.run("task", tenant.queue, "task-1", "", "")
    finally:
        tenant.client.execute_command("ACL", "SETUSER", "default", "+@all")
