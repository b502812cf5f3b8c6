"""Builds the OpenAPI document (3.1) from the sections of the front ends."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from inference.api.document import headers, statuses
from inference.api.document.operation import JSON, Operation, Section
from inference.api.document.schemas import Json, ref
from inference.engines.fields import Schema

_VERSION = "3.1.0"
_INFO = {
    "title": "Forebay inference API",
    "version": "1",
    "description": "Completions, embeddings, rankings, files, batches and fine-tuning, in the "
    "protocols of OpenAI and others. Every request needs an API key of a tenant. An error has the "
    "shape of its protocol.",
}
_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sk-fb-…",
        "description": "An API key of a tenant.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key, as Anthropic's clients send it. Azure's send `api-key`.",
    },
}


class Described(NamedTuple):
    """An operation, and the name of its front end's errors."""

    operation: Operation
    error: str


def built(sections: Iterable[Section]) -> Json:
    """Returns the document. Where two front ends have a method of a path, the first prevails."""
    sections = [*sections]
    return {
        "openapi": _VERSION,
        "info": _INFO,
        "servers": [{"url": "/"}],
        "security": [{scheme: []} for scheme in _SCHEMES],
        "tags": [{"name": tag} for tag in _tags(sections)],
        "paths": {path: _item(path, by_method) for path, by_method in _paths(sections).items()},
        "components": _components(sections),
    }


def _tags(sections: list[Section]) -> dict[str, None]:
    by_path = (by_method for section in sections for by_method in section.operations.values())
    return {operation.tag: None for by_method in by_path for operation in by_method.values()}


def _paths(sections: list[Section]) -> dict[str, dict[str, list[Described]]]:
    paths = dict[str, dict[str, list[Described]]]()
    for section in sections:
        for path, by_method in section.operations.items():
            for method, operation in by_method.items():
                of_path = paths.setdefault(path, {})
                of_path.setdefault(method, []).append(Described(operation, section.error[0]))
    return paths


def _components(sections: list[Section]) -> Json:
    schemas, responses = Json(), Json()
    for section in sections:
        name, error = section.error
        schemas |= {name: error, **section.schemas}
        responses |= {f"{name}{status}": _error(status, [name]) for status in statuses.MEANINGS}
    return {
        "securitySchemes": _SCHEMES,
        "parameters": headers.OPTIONS,
        "headers": {
            name: {"schema": schema, "description": text}
            for name, (schema, text) in headers.ALL.items()
        },
        "responses": responses,
        "schemas": schemas,
    }


# Operations ---------------------------------------------------------------------------------------
def _item(path: str, by_method: Mapping[str, list[Described]]) -> Json:
    return {method.lower(): _operation(path, each) for method, each in by_method.items()}


def _operation(path: str, described: list[Described]) -> Json:
    operations = [each.operation for each in described]
    first = operations[0]
    result: Json = {"operationId": first.name, "tags": [first.tag], "summary": first.summary}
    if texts := [each.description for each in operations if each.description]:
        result["description"] = "\n\n".join(texts)
    if parameters := [*_parameters(path, operations)]:
        result["parameters"] = parameters
    if first.body:
        content = {first.media: {"schema": first.body}}
        result["requestBody"] = {"required": True, "content": content}
    return result | {"responses": _responses(described)}


def _parameters(path: str, operations: list[Operation]) -> Iterable[Schema]:
    if "{" in path:
        name = path.partition("{")[2].partition("}")[0]
        schema = {"type": "string", "minLength": 1}
        in_path = {"name": name, "in": "path", "required": True, "schema": schema}
        yield in_path | {"description": operations[0].variable}
    own = [parameter for each in operations for parameter in each.parameters]
    yield from {(parameter["name"], parameter["in"]): parameter for parameter in own}.values()
    for name in headers.OPTIONS_OF[operations[0].kind]:
        yield {"$ref": f"#/components/parameters/{name}"}


# Responses ----------------------------------------------------------------------------------------
def _responses(described: list[Described]) -> Json:
    first, names = described[0].operation, [each.error for each in described]
    codes = {*statuses.OF_KIND[first.kind], *([statuses.CONFLICT] if first.conflicts else [])}
    errors = {
        str(status): {"$ref": f"#/components/responses/{names[0]}{status}"}
        if len(names) == 1
        else _error(status, names)
        for status in sorted(codes)
    }
    return {"200": _answer([each.operation for each in described]), **errors}


def _answer(operations: list[Operation]) -> Json:
    by_media = dict[str, list[Schema]]()
    for operation in operations:
        for media, schema in operation.answers.items():
            by_media.setdefault(media, []).append(schema)
    return {
        "description": "Done.",
        "headers": _headers(headers.OF_ANSWER[operations[0].kind]),
        "content": {media: {"schema": _any(schemas)} for media, schemas in by_media.items()},
    }


def _error(status: int, names: list[str]) -> Json:
    return {
        "description": statuses.MEANINGS[status],
        "headers": _headers(headers.OF_STATUS.get(status, headers.OF_ERRORS)),
        "content": {JSON: {"schema": _any([ref(name) for name in names])}},
    }


def _any(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
