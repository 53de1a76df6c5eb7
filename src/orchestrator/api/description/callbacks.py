"""What an agent reports about a task, by status (contract §5)."""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct

from orchestrator.api.description.values import Left, Seconds, TaskId


class Report(Struct, kw_only=True):
    """What every callback has. A client may show what is in `result`."""

    action_type: Literal["execution.callback"] | Left | None = UNSET
    task_id: TaskId
    attempt: (
        Annotated[
            int, Meta(ge=1, description="As the task has it; absent: it counts for the current attempt.")
        ]
        | Left
        | None
    ) = UNSET
    seq: (
        Annotated[
            int, Meta(ge=0, description="Numbers the pieces of an attempt; one that was seen is dropped.")
        ]
        | Left
        | None
    ) = UNSET
    took: (
        Annotated[
            list[TaskId],
            Meta(
                description="Messages of the task's inbox that the agent takes into account: they end as `merged`."
            ),
        ]
        | Left
    ) = UNSET


class RunningCallback(Report, tag_field="status", tag="running", kw_only=True):
    """An agent has the task."""

    result: dict[str, Any] | Left = UNSET
    lease: (
        Annotated[
            float | Literal[True],
            Meta(
                description="Seconds, or true for the usual: the agent asks to be supervised. Any callback renews;"
                " silence starts the next attempt."
            ),
        ]
        | Left
        | None
    ) = UNSET


class Delta(Struct):
    """A piece of the answer."""

    delta: str


class StreamingCallback(Report, tag_field="status", tag="streaming", kw_only=True):
    """A piece of the answer; becomes an `agent_chunk` unless the message asked for none."""

    result: Delta


class ProgressCallback(Report, tag_field="status", tag="progress", kw_only=True):
    """Anything else worth showing."""

    result: Annotated[dict[str, Any], Meta(description="The `detail` of a `task_update`.")] | Left = UNSET


class AskedByAgent(Struct):
    """What a person shall answer."""

    prompt: Annotated[str, Meta(min_length=1, description="What is asked, for people.")]
    schema: (
        Annotated[dict[str, Any], Meta(description="JSON Schema that the answer has to fit.")] | Left | None
    ) = UNSET
    question: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Za-z0-9_.-]{1,64}$",
                description="Its name within the task, `1` where it has none; a later attempt that asks the same finds"
                " the answer.",
            ),
        ]
        | Left
    ) = UNSET
    expires_in: (
        Annotated[float, Meta(gt=0, description="Seconds; an hour where it says nothing, a week at most.")]
        | Left
    ) = UNSET


class InputRequiredCallback(Report, tag_field="status", tag="input_required", kw_only=True):
    """A person has to answer; meanwhile the deadline stands still. At most 64 KiB.

    The answer is in the hash `{<callback_queue>}:answers:<task_id>`, field `question`: `{"answer": …, "deadline": …}`,
    without `answer` once the time is over.
    """

    result: AskedByAgent


class CompletedCallback(Report, tag_field="status", tag="completed", kw_only=True):
    """The answer; ends the task. Without `result.response` the joined pieces are the answer."""

    result: (
        Annotated[
            dict[str, Any], Meta(description="`response`, `sources`, `agent_info`; further members are kept.")
        ]
        | Left
    ) = UNSET
    execution_time: Annotated[Seconds, Meta(description="Seconds.")] | Left | None = UNSET
    tokens_used: Annotated[Any, Meta(description='An object like `{"total": 209}`.')] | Left = UNSET


class AgentError(Struct):
    """Why it failed, in words that viewers may read."""

    message: str
    type: str | Left = UNSET
    code: Annotated[str, Meta(min_length=1, max_length=64)] | Left = UNSET


class Failure(Struct):
    """What went wrong."""

    error: AgentError | str


class FailedCallback(Report, kw_only=True):
    """The task ends without an answer."""

    status: Literal["failed", "timeout", "cancelled"]
    result: Failure | Left = UNSET
    retry: (
        Annotated[
            bool,
            Meta(
                description="Of `failed`: true asks for another attempt; where none is left, the task ends so."
            ),
        ]
        | Left
    ) = UNSET
    execution_time: Annotated[Seconds, Meta(description="Seconds.")] | Left | None = UNSET
    tokens_used: Any | Left = UNSET


CALLBACKS: Final = (
    RunningCallback,
    StreamingCallback,
    ProgressCallback,
    InputRequiredCallback,
    CompletedCallback,
    FailedCallback,
)
