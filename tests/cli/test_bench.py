"""`orchestrator bench`: what is asked and refused before anything is loaded, and how a plan is shown."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.servers import free_port

from orchestrator.capacity.costs import NAMES
from orchestrator.cli.bench_run import run as bench_run
from orchestrator.cli.main import main
from orchestrator.embedded import DEMO_AGENTS, DEMO_TENANT


def bench(*arguments: str) -> Result:
    """The command; no settings, no Redis and no database are needed."""
    return CliRunner().invoke(main, ["bench", *arguments])


def test_a_plan_says_why() -> None:
    """What is needed, each number with its reason, the ceilings, and the next bottleneck with what to do then."""
    result = bench("plan")
    assert result.exit_code == 0
    assert result.output.startswith("For 10 M sockets, 1 M events/s and 20 k messages/s of 10 k tenants")
    for name in ("processes of the service:", "primaries of Valkey:", "one tenant:", "the fair dispatch:"):
        assert f"  {name}" in result.output
    assert "The next bottleneck is " in result.output.splitlines()[-1]
    assert max(map(len, result.output.splitlines()[:-1])) < 100


def test_a_plan_for_programs() -> None:
    """`--json` has what was asked, what is needed, the ceilings and the costs."""
    document = json.loads(bench("plan", "--sockets", "5000", "--events-per-second", "900", "--json").output)
    assert document["load"]["sockets"] == 5000
    assert {need["name"]: need["value"] for need in document["needs"]}["deployments"] == 1
    assert document["bottleneck"] in {ceiling["name"] for ceiling in document["ceilings"]}
    assert [figure["name"] for figure in document["costs"]] == list(NAMES)


def test_costs_of_one_s_own(tmp_path: Path) -> None:
    """`--costs FILE` takes figures from a run of the bench; they are shown with their source."""
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"figures": [{"name": "kib_per_socket", "value": 4000, "unit": "KiB"}]}))
    own = json.loads(bench("plan", "--costs", str(results), "--json").output)
    ours = json.loads(bench("plan", "--json").output)
    assert own["needs"] != ours["needs"]
    shown = json.loads(bench("costs", "--costs", str(results), "--json").output)
    assert [(figure["name"], figure["value"]) for figure in shown if figure["source"] == str(results)] == [
        ("kib_per_socket", 4000)
    ]
    assert "kib_per_socket" in bench("costs").output


def test_a_file_without_figures(tmp_path: Path) -> None:
    """It ends the command with exit code 1 and one line."""
    (tmp_path / "x.json").write_text("{}")
    result = bench("plan", "--costs", str(tmp_path / "x.json"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--sockets", "0"),
        ("plan", "--headroom", "1"),
        ("plan", "--memory-per-process", "0.01"),
        ("plan", "--costs", "/nowhere/results.json"),
        ("run", "--url", "localhost:8008"),
        ("run", "--url", "http://127.0.0.1:99999"),
        ("run", "--messages", "0"),
        ("run", "--tier", "gold"),
        ("run", "--tenant", "a:b"),
    ],
    ids=" ".join,
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    """Exit code 2, and nothing is done."""
    assert bench(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8008", "https://chat.example.com", "http://127.0.0.1.example.com"]
)
def test_no_other_host_is_loaded_by_mistake(url: str) -> None:
    """A host that is not this machine needs a word for it: exit code 2 without."""
    result = bench("run", "--url", url)
    assert result.exit_code == 2
    assert "--yes-load-this-host" in result.output


def test_nobody_is_there() -> None:
    """Exit code 1, and why in one line."""
    result = bench("run", "--url", f"http://127.0.0.1:{free_port()}", "--timeout", "0.5")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "no WebSocket within 0.5 s" in result.stderr


def test_the_defaults_are_the_demo_s() -> None:
    """Without options the deployment of `orchestrator dev` is loaded."""
    defaults = {option.name: option.default for option in bench_run.params}
    assert (defaults["tenant"], defaults["agent"]) == (DEMO_TENANT, DEMO_AGENTS[0])
    assert defaults["url"] == "http://127.0.0.1:8008"


def test_a_token_for_calls_is_no_mistaken_setting() -> None:
    """ORCHESTRATOR_TOKEN may stand in the environment of any command without a warning."""
    result = CliRunner().invoke(main, ["settings"], env={"ORCHESTRATOR_TOKEN": "planted-token-of-a-caller"})
    assert result.exit_code == 0
    assert "ORCHESTRATOR_TOKEN" not in result.output
