"""Every fault that can be found, how bad it is, and what to do; docs/troubleshooting.md has a row for each."""

from enum import Enum
from typing import Literal, NamedTuple

import msgspec

Level = Literal["ok", "warn", "fail", "skip"]
"""`warn`: it works, and somebody should know; `fail`: something does not work; `skip`: could not be looked at."""


class Known(NamedTuple):
    """What is known of a fault before it is found."""

    level: Level
    remedy: str


class Fault(Enum):
    """The faults by their codes, which are their names in lower case."""

    # Settings
    SETTING_IGNORED = Known(
        "warn", "Mend the variable's name, or take it away; `orchestrator settings` shows what counts."
    )
    HEADERS_BELIEVED = Known(
        "warn",
        "Let nothing but the gateway reach the port, or set ORCHESTRATOR_GATEWAY_SECRET"
        " or one of the ORCHESTRATOR_JWT_ keys.",
    )
    ISSUER_UNREACHABLE = Known(
        "fail", "Mend ORCHESTRATOR_JWT_JWKS_URL, its certificate or the network on the way."
    )

    # Redis
    REDIS_UNREACHABLE = Known(
        "fail", "Start the server, or mend REDIS_URL; firewalls and TLS stand between them, too."
    )
    REDIS_LOGIN = Known(
        "fail", "Mend user and password in REDIS_URL; `ACL LIST` at the server shows its users."
    )
    REDIS_TOO_OLD = Known(
        "fail", "Upgrade to Redis 7.0 or Valkey 7.2, or newer; the service does not start before."
    )
    CLUSTER_URL = Known("fail", "Write `redis+cluster://` for a Cluster, and `redis://` for a single server.")
    CLUSTER_NOT_WHOLE = Known(
        "fail", "Bring the missing nodes back or assign their slots (`CLUSTER NODES`); tenants there wait."
    )
    REDIS_READ_ONLY = Known("fail", "Have REDIS_URL name the primary; a replica takes no writes.")
    REDIS_EVICTS = Known(
        "fail",
        "`CONFIG SET maxmemory-policy noeviction`, and in its configuration; the service does not start before.",
    )
    REDIS_FULL = Known(
        "fail",
        "Raise maxmemory, or shorten what is kept (ORCHESTRATOR_TASK_TTL, ORCHESTRATOR_EVENT_LOG_TTL); sends get 503.",
    )
    REDIS_NEARLY_FULL = Known(
        "warn", "Raise maxmemory before it is full: then sends get 503 and agents cannot report."
    )
    REDIS_CANNOT_SAVE = Known(
        "fail", "Look at the server's disk and log; until a save succeeds it may refuse every write."
    )
    REDIS_REFUSES = Known(
        "fail",
        "Its words say why: `min-replicas-to-write`, data being loaded, a script that does not end"
        " (`FUNCTION KILL`, `SCRIPT KILL`); until it takes writes, sends get 503.",
    )
    REDIS_FORGETS = Known("warn", "`CONFIG SET appendonly yes`, and in its configuration.")
    FUNCTIONS_FLUSHED = Known(
        "ok", "Nothing: the service loads its functions again when it needs them; some workers wait for that."
    )
    RIGHTS_MISSING = Known("fail", "Give the user of REDIS_URL what docs/redis-keys.md lists under Rights.")
    PREFIX_TAKEN = Known(
        "fail",
        "Choose another ORCHESTRATOR_CALLBACK_QUEUE_PREFIX, or the ORCHESTRATOR_DOMAIN_NAME of that deployment.",
    )

    # Clocks
    CLOCK_SKEW = Known(
        "fail",
        "Have this machine and the Redis server keep time by NTP; tokens are judged by a machine's own clock.",
    )
    REPLICA_CLOCK_SKEW = Known(
        "fail", "Have that machine keep time by NTP; its replica takes expired tokens, or refuses good ones."
    )

    # Replicas
    NO_REPLICA = Known(
        "fail",
        "Start `orchestrator serve` with the settings of this command; its last lines say why it ended.",
    )
    REPLICA_NOT_READY = Known(
        "fail",
        "Look at its /health/ready and its log (`delivery_degraded`); often rights, or a proxy before Redis.",
    )
    REPLICA_VERSIONS = Known(
        "warn", "Finish the rollout: replicas of two versions are meant to run together only meanwhile."
    )
    REPLICA_FULL = Known(
        "warn",
        "Start more replicas, or raise ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS and the limit of open files.",
    )
    SQLITE_SHARED = Known(
        "fail", "Give all replicas one Postgres by DATABASE_URL; each machine has a SQLite file of its own."
    )

    # Queues
    TASKS_UNSERVED = Known(
        "fail", "Start the worker of that agent, or compare the queue's name with the one that it reads."
    )
    TASKS_SLOW = Known(
        "warn",
        "Start more workers or give them more slots; or the agents hang (`orchestrator tasks show ID`).",
    )
    CALLBACKS_STUCK = Known(
        "fail",
        "Start a replica; where one lives, its log says what it cannot take (`callback_failed`, `redis_refused`).",
    )
    AGENDA_OVERDUE = Known(
        "fail",
        "Start a replica, or look into the log of those that live (`agenda_failed`): timeouts and retries wait.",
    )
    DEAD_LETTERS = Known(
        "warn",
        "`orchestrator dead list` and `dead show ID` say what is wrong; mend the agent, then `dead replay`.",
    )

    # What callers were refused
    MISSING_HEADERS = Known(
        "warn",
        "Send X-Tenant-ID, X-Agent-ID, X-Tenant-Tier and X-Session-ID. Who did not:"
        ' `orchestrator_sends_refused_total{code="missing_headers"}`, `send_refused` in the log.',
    )
    INVALID_TIER = Known(
        "warn",
        "Send free, advance, professional or enterprise. Who did not:"
        ' `orchestrator_sends_refused_total{code="invalid_tier"}`, `send_refused` in the log.',
    )
    ACCESS_REFUSED = Known(
        "warn",
        "`send_refused` in the log names tenant and agent; `tenants show T`, `agents list --tenant T`, `agents grant`.",
    )
    CREDENTIALS_REFUSED = Known(
        "warn",
        "Mend the callers' tokens, or the gateway's secret; docs/errors.md has what each reason means.",
    )
    WEBSOCKETS_REFUSED = Known(
        "warn",
        "4400: the URL's tenant_id and tier; 4401: token or ticket; 4403: Origin"
        " (ORCHESTRATOR_ALLOWED_ORIGINS), Host, tenant or user;"
        " 4429: max_connections of the tenant; 1013: ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS, or Redis was away.",
    )

    # Database
    DATABASE_UNREACHABLE = Known(
        "fail",
        "Start the database, or mend DATABASE_URL; meanwhile cached answers go on and nobody new gets in.",
    )
    DATABASE_MISSING = Known(
        "fail", "Set DATABASE_URL to the service's database, or make one by `orchestrator db upgrade`."
    )
    SCHEMA_BEHIND = Known("fail", "`orchestrator db upgrade`; SQLite is upgraded by the next start, too.")
    SCHEMA_AHEAD = Known("warn", "Bring this program to the version of the one that upgraded the database.")
    NO_TENANTS = Known(
        "warn", "`orchestrator tenants create ID --tier T`: until then every send is answered 403."
    )
    NO_AGENTS = Known(
        "warn", "`orchestrator agents create ID --tenant T`: until then every send is answered 403."
    )

    # Of the examination itself
    NO_ANSWER = Known(
        "fail", "Look at the machine, the network and the load (`SLOWLOG GET`), then ask again."
    )

    @property
    def code(self) -> str:
        """What the page and `--json` call it."""
        return self.name.lower()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: one line."""

    check: str = ""
    level: Level
    code: str = ""
    """Of a fault; '' where all is well or nothing could be seen."""
    what: str
    remedy: str = ""


def found(fault: Fault, what: str) -> Finding:
    """A fault, and what shows it."""
    return Finding(level=fault.value.level, code=fault.code, what=what, remedy=fault.value.remedy)


def well(what: str) -> Finding:
    """All is well, and what was seen."""
    return Finding(level="ok", what=what)


def unseen(why: str) -> Finding:
    """Nothing could be seen, and why."""
    return Finding(level="skip", what=why)
