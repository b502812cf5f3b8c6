"""Schemathesis over each operation of `/v1`: nothing breaks or hangs, and no answer is other than
its front end describes.

FOREBAY_V1_EXAMPLES asks for more examples of each operation than the few that a quick run affords.
"""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
import requests
import schemathesis
from django.conf import settings
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as trials
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from config.http.document import Document
from config.http.front_ends import ROUTERS
from inference.intake.context import Context
from inference.worker import runner
from tenants.models import Tenant
from tests.inference.api.conftest import client_of, in_database
from tests.inference.engine_server import EngineServer
from tests.inference.vectors.conftest import embedded, ranked

EXAMPLES = int(os.environ.get("FOREBAY_V1_EXAMPLES", "2"))
# The count of `make soak` takes hours of one core: `-n 2 --dist load` has two parts side by side.
PARTS = 1 if EXAMPLES < 100 else 8
PATIENCE_S = 30.0
BASE, MODEL = "http://forebay", "small"
UNLIMITED = {"requests_per_minute": 0, "tokens_per_minute": 0, "max_concurrency": 0}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# Parameters of the other front end at the path are not read, nor options without a prompt, nor is
# null in a field that Ollama does not have.
LENIENT = {
    "list_models",
    "ollama_chat",
    "ollama_generate",
    "ollama_embed",
    "ollama_embed_one",
    "ollama_show",
}
# The engine's own answers, of which the document has the fields that all engines have.
ENGINES = {"ChatCompletion", "Completion"}
FILE: dict[str, Any] = {"files": {"file": ("in", b"{}")}, "data": {"purpose": "batch"}}
UPLOAD = {"filename": "a", "mime_type": "b", "purpose": "batch", "bytes": 3}
BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
STREAM = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
NOT_TO_BE_SENT = (requests.exceptions.RequestException, httpx.InvalidURL, UnicodeError)


class Door:
    """Sends from the thread of the examples what the test's loop answers."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self._loop = client, asyncio.get_running_loop()
        self.statuses: list[int] = []
        self._file = ""

    def ask(self, method: str, path: str, **fields: Any) -> httpx.Response:
        return self._send(self._client.build_request(method, path, **fields))

    def send(self, case: Any) -> httpx.Response | None:
        """Returns None for what no client can send."""
        try:
            sent = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
            lines = [(name.encode(), _bytes(text)) for name, text in sent.headers.items()]
            body = sent.body if isinstance(sent.body, bytes) else str(sent.body or "").encode()
            request = self._client.build_request(
                str(sent.method), str(sent.url), headers=lines, content=body
            )
        except NOT_TO_BE_SENT:
            return None
        answer = self._send(request)
        self.statuses.append(answer.status_code)
        return answer

    def _send(self, request: httpx.Request) -> httpx.Response:
        """Raises TimeoutError for an answer that does not come."""
        sending = asyncio.run_coroutine_threadsafe(self._client.send(request), self._loop)
        return sending.result(PATIENCE_S)

    # What paths and bodies name ------------------------------------------------------------------
    def places(self, path: str) -> dict[str, str]:
        """Returns ids by name: a file for a batch, and something new at the path."""
        self._file = self._file or self._made("/v1/files", **FILE)
        places = {"input_file_id": self._file, "model": MODEL, "id": "none"}
        match path.partition("/{id}")[0]:
            case "/v1/files":
                places["id"] = self._made("/v1/files", **FILE)
            case "/v1/uploads":
                places["id"] = self._made("/v1/uploads", json=UPLOAD)
            case "/v1/batches":
                batch = {"input_file_id": self._file, **BATCH}
                places["id"] = self._made("/v1/batches", json=batch)
            case "/v1/completions" | "/v1/messages":
                answer = self.ask("POST", "/v1/chat/completions", json=STREAM)
                places["id"] = answer.headers["x-request-id"]
        return places

    def _made(self, path: str, **fields: Any) -> str:
        answer = self.ask("POST", path, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def aimed(text: bytes, places: dict[str, str]) -> dict[str, Any]:
    """Returns the document with a served model and ids that exist, so that examples get far."""
    document: dict[str, Any] = orjson.loads(text)
    del document["security"]  # or examples would have keys of their own
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter.get("in") == "path":
                    parameter["schema"] = {"enum": [places[parameter["name"]]]}
    for properties in _properties(document):
        for name in places.keys() & properties.keys() - {"id"}:
            absent = [None] if "null" in properties[name].get("type", ()) else []
            properties[name] = {"enum": [places[name], *absent]}
    return document


def _properties(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the fields of each request."""
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                name = schema.get("$ref", "").rpartition("/")[2]
                yield (schemas[name] if name else schema)["properties"]


@pytest.mark.timeout(0 if EXAMPLES > 10 else 300)
@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize("part", range(PARTS))
async def test_no_answer_is_other_than_described(
    part: int,
    context: Context,
    engine: EngineServer,
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "LINGER_S", 36_000)  # it stays while examples are made
    monkeypatch.setattr(settings, "BATCHES_UNDER_WAY", 100 * EXAMPLES)  # none of them ends here
    engine.beside = lambda body: (
        embedded(body) if "input" in body else ranked(body) if "documents" in body else None
    )
    await in_database(acme.change)(by="test", **UNLIMITED)
    async with await client_of(acme) as client:
        door = Door(client)
        problems = await asyncio.to_thread(lambda: [*_problems(door, part)])
    assert not problems, "\n".join(problems)
    succeeded = door.statuses.count(200)
    assert succeeded > len(door.statuses) / 20, "nearly all examples are refused"


def _problems(door: Door, part: int) -> Iterator[str]:
    text = Document(ROUTERS).texts["/v1/openapi.json"]
    paths = orjson.loads(text)["paths"]
    operations = [(path, method) for path, item in paths.items() for method in item]
    for number, (path, method) in list(enumerate(operations))[part::PARTS]:
        document = aimed(text, door.places(path))
        operation: Any = schemathesis.openapi.from_dict(document)[path][method]
        for mode in GenerationMode:
            yield from _tried(door, operation, document, mode, number)


def _tried(
    door: Door, operation: Any, document: dict[str, Any], mode: GenerationMode, number: int
) -> Iterator[str]:
    lenient = operation.definition.raw["operationId"] in LENIENT
    looked_at = [each for each in CHECKS if not lenient or each is not CHECKS[-1]]

    @seed(number)
    @trials(
        max_examples=max(1, EXAMPLES // len(GenerationMode)),
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = door.send(case)
        if answer is not None and not _vanishes(case):
            case.validate_response(answer, checks=looked_at)
            check_fields(answer, operation, document)

    try:
        ask()
    except Unsatisfiable:
        return  # nothing can be wrong where there are no parameters
    except BaseExceptionGroup as several:
        yield from (f"{operation.label} ({mode}): {one}" for one in several.exceptions)
    except Exception as problem:
        yield f"{operation.label} ({mode}): {problem!r} {problem}"


def _vanishes(case: Any) -> bool:
    """Returns whether what is wrong is not sent.

    In a form, a field with an empty list; in a path, what a client takes for a folder or its end.
    """
    is_form = (case.media_type or "").startswith("multipart/")
    is_empty = is_form and isinstance(case.body, dict) and [] in case.body.values()
    ids = [str(value) for value in case.path_parameters.values()]
    return is_empty or any(each in (".", "..") or set(each) & set("/?#") for each in ids)


def check_fields(answer: httpx.Response, operation: Any, document: dict[str, Any]) -> None:
    """Fails for a field that the document does not have."""
    if answer.status_code != 200 or answer.headers["content-type"] != "application/json":
        return
    content = operation.definition.raw["responses"]["200"]["content"]
    schema = content["application/json"]["schema"]
    names = [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema])]
    fields = {name: document["components"]["schemas"][name]["properties"] for name in names}
    if not ENGINES & fields.keys():
        assert any(answer.json().keys() <= each.keys() for each in fields.values()), answer.text
