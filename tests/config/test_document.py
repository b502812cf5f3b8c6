"""The OpenAPI document of `/v1`: it has every route, is valid, and needs nothing from elsewhere."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from django.test import Client
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from pytest_django.fixtures import Settings

from config.http.document import Document
from config.http.front_ends import ROUTERS, router_of
from inference.api.document import statuses
from inference.api.document.building import built
from inference.api.http.router import Router
from inference.errors import ApiError, LimitReached, MethodNotAllowed, UnsupportedEncoding
from inference.metrics.labels import ROUTES

pytestmark = pytest.mark.unit
# Routes without an operation, and why.
LEFT_OUT = {
    "/ollama": "says that something is here",
    "/api/pull": "only refuses",
    "/api/push": "only refuses",
    "/api/create": "only refuses",
    "/api/copy": "only refuses",
    "/api/delete": "only refuses",
    "/api/blobs/{digest}": "only refuses",
    **dict.fromkeys(("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime"), "only refuse"),
    "/v1/openapi.json": "the document itself",
    "/v1/openapi.yaml": "the document itself",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load(Document(ROUTERS).texts["/v1/openapi.yaml"])
    return fields


def routes() -> Iterator[tuple[Router, str, str]]:
    """Yields each router with the templates and the methods of its routes."""
    for router in ROUTERS:
        for template in sorted(ROUTES):
            route = router.find(template)
            if route and route.template == template:
                yield from ((router, template, method) for method in route.views)


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target
        for each in value.values():
            yield from refs(each)
    elif isinstance(value, list):
        for each in value:
            yield from refs(each)


# The document -------------------------------------------------------------------------------------
def test_every_route_of_every_front_end_is_in_it(document: dict[str, Any]) -> None:
    """A front end describes its routes in its `document.py`, which its Router gets."""
    known = [row for row in routes() if row[1] not in LEFT_OUT]
    assert len({template for _, template, _ in known}) > 25
    for router, template, method in known:
        assert router.document, f"the router of {template} has no document"
        assert method in router.document().operations.get(template, ()), f"{method} {template}"
        assert method.lower() in document["paths"][template]


def test_it_has_no_route_that_is_not_there(document: dict[str, Any]) -> None:
    there = {(template, method.lower()) for _, template, method in routes()}
    assert {(path, method) for path, item in document["paths"].items() for method in item} <= there
    assert not LEFT_OUT.keys() & document["paths"].keys()


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate_schema(document)
    for target in refs(document):
        place: Any = document
        for name in target.removeprefix("#/").split("/"):
            place = place[name]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_each_operation_has_a_name_of_its_own_and_says_what_it_does(
    document: dict[str, Any],
) -> None:
    operations = [each for item in document["paths"].values() for each in item.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    for each in operations:
        assert each["summary"]
        assert {"400", "401", "403", "404", "429", "503"} <= each["responses"].keys()
    assert {"bearer": []} in document["security"]
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "x-api-key"


def test_bodies_are_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
                assert schema["additionalProperties"] is False, path


def test_a_plain_call_needs_no_model(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/inference"]["post"]["requestBody"]
    schema = Draft202012Validator(body["content"]["application/json"]["schema"])
    assert schema.is_valid({"prompt": "Hi"})
    assert schema.is_valid({"prompt": "Hi", "model": None})
    assert not schema.is_valid({"model": "small"})


# Errors -------------------------------------------------------------------------------------------
def kinds(of: type[ApiError]) -> set[type[ApiError]]:
    return {of, *(each for kind in of.__subclasses__() for each in kinds(kind))}


def test_every_status_of_an_error_has_a_meaning() -> None:
    assert {kind.status for kind in kinds(ApiError)} <= statuses.MEANINGS.keys()
    assert set().union(*statuses.OF_KIND.values()) <= statuses.MEANINGS.keys()


@pytest.mark.parametrize("router", [each for each in ROUTERS if each.document])
def test_errors_have_the_shape_that_their_front_end_describes(router: Router) -> None:
    assert router.document
    section = router.document()
    schema = Draft202012Validator(section.error[1])
    refused = LimitReached("wait", param="model", retry_after=1)
    refused.refusal_id = "ref_1"
    for error in (refused, MethodNotAllowed("/v1/x", "GET"), UnsupportedEncoding("gzip")):
        body = yaml.safe_load(router.errors.body(error))
        schema.validate(body)
        assert not schema.is_valid({}), "the schema takes everything"


# Two front ends at one path -----------------------------------------------------------------------
def test_models_have_either_shape(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/models"]["get"]
    assert operation["operationId"] == "list_models"
    content = operation["responses"]["200"]["content"]["application/json"]["schema"]
    names = [each["$ref"].rpartition("/")[2] for each in content["anyOf"]]
    assert names == ["ModelList", "AnthropicModelList"]
    assert "anthropic-version" in {each["name"] for each in operation["parameters"]}
    error = operation["responses"]["404"]["content"]["application/json"]["schema"]
    assert len(error["anyOf"]) == 2


def test_a_front_end_that_joins_is_in_it() -> None:
    openai = next(router for router in ROUTERS if router.find("/v1/chat/completions"))
    assert openai.document
    section = openai.document()
    alone = built([type(section)(("OwnError", {"type": "object"}), section.operations, {})])
    responses = alone["paths"]["/v1/batches"]["get"]["responses"]
    assert responses["404"] == {"$ref": "#/components/responses/OwnError404"}


# Served -------------------------------------------------------------------------------------------
@pytest.fixture
async def client() -> Any:
    transport = httpx.ASGITransport(served_alone, client=("198.51.100.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://forebay") as asking:
        yield asking


async def served_alone(scope: Any, receive: Any, send: Any) -> None:
    router = router_of(scope)
    assert router
    await router({**scope, "state": {"context": None}}, receive, send)


async def test_anybody_may_read_it_in_both_forms(client: httpx.AsyncClient) -> None:
    as_json = await client.get("/v1/openapi.json")
    as_yaml = await client.get("/v1/openapi.yaml")
    assert (as_json.headers["content-type"], as_yaml.headers["content-type"]) == (
        *("application/json", "application/yaml"),
    )
    assert as_json.json() == yaml.safe_load(as_yaml.text)
    assert not re.search(r"^ *[&*]id\d", as_yaml.text, re.M), "anchors, which few programs read"


async def test_another_method_is_refused_in_openais_shape(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/openapi.json", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert refused.json()["error"]["code"] == "method_not_allowed"


async def test_it_shows_nothing_of_what_is_served(settings: Settings) -> None:
    engine = {"kind": "vllm", "url": "http://10.1.2.3:8000/v1"}
    settings.ENGINES = {"secret-model": {"pools": {"secret-pool": engine}}}
    text = Document(ROUTERS).texts["/v1/openapi.json"]
    assert not [each for each in (b"secret-model", b"secret-pool", b"10.1.2.3") if each in text]


# The page -----------------------------------------------------------------------------------------
PAGE = "/v1/docs"


def test_the_page_is_djangos() -> None:
    assert router_of({"path": PAGE, "headers": []}) is None
    other = router_of({"path": "/v1/docs/x", "headers": []})
    assert other, "the rest of /v1 is the front ends'"


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = Client().get(PAGE)
    text = page.content.decode()
    assert page.status_code == 200
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in text
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)
    assert not re.search(r"<script>|<style| style=", text)  # the policy takes none
    assert "script-src 'self'" in page["content-security-policy"]
    assert Client().post(PAGE).status_code == 405


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Each request needs an API key"), ("zh-hans", "API 密钥")]
)
def test_the_page_speaks_both_languages(language: str, words: str) -> None:
    text = Client().get(PAGE, headers={"accept-language": language}).content.decode()
    assert f'<html lang="{language}">' in text
    assert words in text
