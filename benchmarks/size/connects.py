"""People who come by token and by ticket, each with a token of their own."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.deployment import Measured
from benchmarks.figures import Figure
from benchmarks.load.posts import post_each, request
from benchmarks.size.crowd import Crowd, Place
from benchmarks.size.sockets import connecting
from benchmarks.size.stand import Cost, Meter, run, standing, stood
from orchestrator.auth.claims import Claims
from orchestrator.auth.signing import sign
from orchestrator.embedded import DEMO_TENANT
from orchestrator.settings import Settings

PEOPLE: Final = 4_000
QUICK_PEOPLE: Final = 1_500
ROUNDS: Final = 2
"""Of other people each, whom the service has not seen. The cheapest counts, as of the loads that peers bear, too."""
_WARM: Final = 200
_SECRET: Final = "a-secret-for-benchmarks-of-at-least-32-bytes"  # noqa: S105 - of a service that lives for a minute


class _Person:
    def __init__(self, name: str, settings: Settings) -> None:
        claims = Claims(
            user=name,
            tenant=DEMO_TENANT,
            tier="professional",
            session=None,
            agents=None,
            scopes=frozenset({"chat"}),
            expires=float(int(time.time()) + 3_600),
            issued=None,
        )
        self.session: Final = f"s-{name}"
        self.authorization: Final = {"Authorization": f"Bearer {sign(claims, settings)}"}
        self.ticket = ""

    @property
    def by_token(self) -> Place:
        """As a server comes."""
        return Place(f"/ws/{self.session}", self.authorization)

    @property
    def by_ticket(self) -> Place:
        """As a browser comes."""
        return Place(f"/ws/{self.session}?ticket={self.ticket}")


def figures(*, quick: bool) -> list[Figure]:
    """Connecting by token and by ticket, access checked, and what a ticket costs."""
    settings = {"ORCHESTRATOR_JWT_SECRET": _SECRET, "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "true"}
    with stood(settings) as measured:
        return run(_measure(measured, QUICK_PEOPLE if quick else PEOPLE, 1 if quick else ROUNDS))


async def _measure(measured: Measured, count: int, rounds: int) -> list[Figure]:
    settings = Settings.from_environment({"ORCHESTRATOR_JWT_SECRET": _SECRET})
    by_token: list[Cost] = []
    by_ticket: list[Cost] = []
    tickets: list[Cost] = []
    async with standing(measured) as stand:
        crowd = Crowd(stand.port)
        await _come(measured, crowd, [person.by_token for person in _people("warm", _WARM, settings)])
        for number in range(rounds):
            people = _people(f"round-{number}", count, settings)
            by_token.append(await _come(measured, crowd, [person.by_token for person in people]))
            meter = Meter(measured)
            await _take_tickets(stand.port, people)
            tickets.append(meter.read())
            by_ticket.append(await _come(measured, crowd, [person.by_ticket for person in people]))
    issued = _cheapest(tickets)
    return [
        *connecting("token", _cheapest(by_token), count, "Authorization header, HS256"),
        *connecting("ticket", _cheapest(by_ticket), count, "single use, 30 s"),
        Figure(
            name="service_us_per_ticket",
            says="service CPU of a ticket that is issued",
            value=issued.service / count * 1e6,
            unit="µs",
            note=f"{count / issued.seconds:,.0f} /s",
        ),
    ]


def _people(name: str, count: int, settings: Settings) -> list[_Person]:
    return [_Person(f"{name}-{number}", settings) for number in range(count)]


def _cheapest(found: Sequence[Cost]) -> Cost:
    return min(found, key=lambda cost: cost.service)


async def _come(measured: Measured, crowd: Crowd, places: Sequence[Place]) -> Cost:
    meter = Meter(measured)
    await crowd.come(places)
    spent = meter.read()
    crowd.go()
    await asyncio.sleep(2)  # those who left are no part of what follows
    return spent


async def _take_tickets(port: int, people: Sequence[_Person]) -> None:
    asked = [
        request("/api/auth/ticket", {**person.authorization, "X-Session-ID": person.session}, b"")
        for person in people
    ]
    for person, body in zip(people, await post_each(port, asked, 201), strict=True):
        person.ticket = msgspec.json.decode(body)["ticket"]
