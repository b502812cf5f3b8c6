"""The operations of a front end, from which the OpenAPI document is made.

A front end's module `document` has them, and its `Router` gets the function that returns them.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, auto

from inference.api.document.schemas import Json
from inference.engines.fields import Schema

JSON, EVENTS, FORM = "application/json", "text/event-stream", "multipart/form-data"
BYTES = "application/octet-stream"


class Kind(Enum):
    """The kind of an operation, from which its headers and the statuses of its errors follow."""

    LOOK = auto()  # it reads, or changes what is there
    STORE = auto()  # it stores something, and has a body
    BEGIN = auto()  # it begins something, once for an `Idempotency-Key`
    RUN = auto()  # an engine works for it


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a route. `answers` has the schema of the answer by its media type."""

    name: str  # unique among all front ends; generated clients make a function of it
    tag: str
    summary: str
    answers: Mapping[str, Schema]
    _: KW_ONLY
    kind: Kind = Kind.LOOK
    description: str = ""
    body: Schema | None = None
    media: str = JSON  # of the body
    variable: str = ""  # describes the variable of the path
    parameters: tuple[Schema, ...] = ()
    conflicts: bool = False  # it may come too early or too late (409)


Operations = Mapping[str, Mapping[str, Operation]]  # by path and method


@dataclass(frozen=True, slots=True)
class Section:
    """The operations of a front end, and the schemas that they refer to by name.

    `error` is the schema of its errors, under a name that differs from those of other front ends.
    """

    error: tuple[str, Schema]
    operations: Operations
    schemas: Mapping[str, Schema] = field(default_factory=dict)


def query(name: str, schema: Schema, description: str = "") -> Json:
    return _parameter(name, "query", schema, description)


def header(name: str, schema: Schema, description: str = "") -> Json:
    return _parameter(name, "header", schema, description)


def _parameter(name: str, place: str, schema: Schema, description: str) -> Json:
    parameter: Json = {"name": name, "in": place, "schema": schema}
    return parameter | ({"description": description} if description else {})
