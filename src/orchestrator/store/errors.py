"""What the database may answer instead.

    StoreError
     ├── StoreUnavailable      nobody can be asked now
     ├── UnsupportedDatabase   a URL that we have no driver for
     ├── NotFound              the record does not exist
     ├── AlreadyExists         the id is taken
     ├── SchemaBehind          `orchestrator db upgrade` has not run
     └── SchemaAhead           a newer Orchestrator has upgraded the database

The docstring of a class is its message; what stands in braces is a field of the exception.
"""

from orchestrator.errors import OrchestratorError


class StoreError(OrchestratorError):
    """The database could not do that."""

    def __init__(self, **fields: str) -> None:
        super().__init__((type(self).__doc__ or "").format(**fields))


class StoreUnavailable(StoreError):
    """The database at {where} is unavailable: {reason}."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(where=where, reason=reason)


class UnsupportedDatabase(StoreError):
    """DATABASE_URL names {given}; it must be sqlite+aiosqlite:///FILE or postgresql+psycopg://HOST/NAME."""

    def __init__(self, given: str) -> None:
        super().__init__(given=given)


class NotFound(StoreError):
    """There is no {what}."""

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


class AlreadyExists(StoreError):
    """{what} exists already."""

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


class SchemaBehind(StoreError):
    """The schema of the database at {where} is {state}: run `orchestrator db upgrade`."""

    def __init__(self, where: str, state: str) -> None:
        super().__init__(where=where, state=state)


class SchemaAhead(StoreError):
    """The database at {where} was upgraded by a newer Orchestrator; this one cannot change it."""

    def __init__(self, where: str) -> None:
        super().__init__(where=where)
