"""What a browser is told about the pages that the service brings."""

import httpx
import pytest


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_policy_of_the_pages(http: httpx.AsyncClient, path: str) -> None:
    """Nothing from elsewhere runs in them, no other page may show them in a frame, and no address of theirs is told."""
    headers = (await http.get(path)).headers
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
