"""The bodies, answers and queries of the HTTP API as types that check and document themselves. No routes, no logic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from stable_core.graphs import Document, JobName, JobRequest, Priority
from stable_core.sdk.jobs import JobState

Seq = Annotated[int, Meta(ge=0, le=2**62, description="replay what came after this number; without it, only new")]
Unix = Annotated[float, Meta(description="seconds since 1970, UTC")]


class GraphRequest(Document):
    """A graph document."""

    jobs: Annotated[dict[str, JobRequest], Meta(min_length=1)]


class CancelRequest(Struct, forbid_unknown_fields=True):
    """Which jobs to cancel; all that are not finished when empty."""

    state: Literal["waiting", "queued", "running"] | None = None
    job: JobName | None = None
    graph: str | None = None


class Cancelled(Struct):
    """How many jobs were cancelled."""

    cancelled: int


class PriorityRequest(Struct, forbid_unknown_fields=True):
    """New priorities of jobs that have not begun, by id."""

    priorities: dict[str, Priority]


class ErrorBody(Struct):
    """What went wrong and what to do next."""

    code: Annotated[str, Meta(examples=["invalid_params"])]
    message: str
    hint: str


class ErrorAnswer(Struct):
    """The body of every answer with status 400 and above."""

    error: ErrorBody


class JobError(ErrorBody):
    """Why a job failed."""

    traceback: str = ""


class Artifact(Struct):
    """Something stored once, named by the SHA-256 of its bytes; what else is told of it depends on what it is."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes, in hexadecimal")]
    type: Literal["text", "image", "mask", "audio", "video", "file", "data"]
    media_type: str
    size: int
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET
    seconds: float | UnsetType = UNSET
    filename: str | UnsetType = UNSET
    path: Annotated[str, Meta(description="where it was saved as an ordinary file")] | UnsetType = UNSET
    value: Annotated[Any, Meta(description="a text or JSON itself, if it is short")] | UnsetType = UNSET
    parameters: Annotated[str, Meta(description="how a picture was made")] | UnsetType = UNSET
    notes: Annotated[list[str], Meta(description="what its plugin has to say of it")] | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    created: Unix | UnsetType = UNSET
    jobs: Annotated[list[str], Meta(description="that have it as input or output")] | UnsetType = UNSET


class Progress(Struct):
    """How far a running job is."""

    step: int
    total: int
    message: str


class Job(Struct):
    """One run of a signature."""

    id: str
    job: JobName
    state: JobState
    inputs: dict[str, Any]
    params: dict[str, Any]
    outputs: dict[str, list[Artifact]]
    progress: Progress | None
    error: JobError | None
    attempt: int
    cached: bool
    owner: str
    graph: str | None
    parent: str | None
    key: str | None
    priority: int
    created: Unix
    started: Unix | None
    finished: Unix | None
    plugin_version: str | None
    host: str | None


class Graph(Struct):
    """The jobs made of a graph document, by its keys."""

    id: str
    jobs: dict[str, Job]


class Event(Struct):
    """One row of the event log."""

    seq: int
    time: Unix
    type: Annotated[str, Meta(examples=["job.running", "job.progress", "job.succeeded"])]
    job: str | None
    graph: str | None
    owner: str | None
    data: Any


class Port(Struct):
    """One wire's end."""

    name: str
    type: str
    list: bool
    optional: bool
    ui: Annotated[dict[str, Any], Meta(description="how a form shows it")] = field(default={}, name="x-ui")


class Signature(Struct):
    """What a client needs to draw and call a job."""

    name: JobName
    kind: Literal["job", "invocation"]
    title: str
    description: str
    inputs: list[Port]
    outputs: list[Port]
    params: Annotated[dict[str, Any], Meta(description="JSON Schema 2020-12 with x-ui hints")]
    cached: Annotated[bool, Meta(description="an equal job is answered from the history")]
    timeout_seconds: float | None
    light: Annotated[bool, Meta(description="it needs no device and does not wait for those that do")]


class Plugin(Struct):
    """One plugin that was found; `error` says why a broken one cannot be used."""

    name: str
    version: str
    bundled: bool
    source: str
    settings: Annotated[dict[str, Any] | None, Meta(description="JSON Schema")]
    signatures: list[str]
    error: JobError | None
    installed: bool
    environment_bytes: int | None


class Settings(Struct):
    """What can be set (JSON Schema) and what it is set to; secrets are never shown."""

    schema: dict[str, Any]
    values: dict[str, Any]


class Health(Struct):
    """Whether jobs can run."""

    status: Literal["ok", "stalled", "stopped"]
    version: str
    workers: Annotated[dict[str, str], Meta(description="their states by plugin and device")]
    jobs: Annotated[dict[str, int], Meta(description="how many wait, are queued and run")]


class Device(Struct):
    """One device of a host."""

    name: str
    memory_mb: Annotated[int, Meta(description="0 if unknown")]


class Worker(Struct):
    """One process that runs a plugin's jobs."""

    plugin: str
    device: str
    pid: int
    memory_mb: Annotated[int, Meta(description="what it plans with, 0 if it does not say")]
    state: Literal["idle", "busy"]
    job: str | None
    log: Annotated[str, Meta(description="the last few thousand characters that it printed")]


class Host(Struct):
    """One machine that runs workers."""

    name: str
    devices: list[Device]
    workers: list[Worker]


class JobsQuery(Struct, forbid_unknown_fields=True):
    """Which jobs to list."""

    state: JobState | None = None
    job: JobName | None = None
    graph: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    before: Annotated[str, Meta(description="the id of the last job of the page before")] | None = None
    text: Annotated[str, Meta(max_length=1000, description="words in the inputs, in any case")] | None = None
    since: Annotated[float, Meta(ge=0, le=1e11, description="submitted from then on, seconds since 1970")] | None = None
    until: Annotated[float, Meta(ge=0, le=1e11, description="submitted before then")] | None = None
    ids: Annotated[str, Meta(pattern="^[0-9a-f,]*$", description="out of these, with commas in between")] | None = None


class WaitQuery(Struct, forbid_unknown_fields=True):
    """How long to wait."""

    wait: Annotated[float, Meta(ge=0, le=60, description="seconds to wait for the job to finish")] = 0


class InterruptQuery(Struct, forbid_unknown_fields=True):
    """What an interrupted job should do."""

    skip: Annotated[bool, Meta(description="leave out what it is making and go on with the next")] = False


class EventsQuery(Struct, forbid_unknown_fields=True):
    """Which events, from where on."""

    after: Seq | None = None
    job: Annotated[str, Meta(description="the id of one job")] | None = None
    graph: Annotated[str, Meta(description="the id of one graph")] | None = None


class UploadQuery(Struct, forbid_unknown_fields=True):
    """What the upload is called."""

    filename: Annotated[str, Meta(max_length=255)] = ""
