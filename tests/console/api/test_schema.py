"""The schema is valid, whole and served, and its pages need nothing from elsewhere."""

import json
import re
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from tenants.operator_scopes import OperatorScope
from tests.console.api.conftest import API
from tests.console.api.who_may_what import OPEN, OPENED, TABLE, shape


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As `manage.py spectacular` writes it, which fails on any warning."""
    path = tmp_path_factory.mktemp("schema") / "schema.yml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(path))
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def operations(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{method.upper()} {path.removeprefix(API)}": operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }


def test_every_route_is_in_it(schema: dict[str, Any]) -> None:
    described = {re.sub(r"{\w+}", "*", row) for row in operations(schema)}
    assert described == {shape(row) for row in TABLE} - OPEN


def test_every_operation_says_what_it_does_and_what_can_go_wrong(schema: dict[str, Any]) -> None:
    for row, operation in operations(schema).items():
        assert operation["summary"], row
        assert operation["security"], row
        answers = operation["responses"]
        assert {"400", "401", "403", "404", "405", "429", "503"} <= set(answers), row
        for status, answer in answers.items():
            if status.startswith("4"):
                (media,) = answer["content"]
                assert media == "application/problem+json"
        good = answers.get("200") or answers.get("201") or {}
        for media, content in good.get("content", {}).items():
            is_file = "export" in row or content["schema"].get("format") == "binary"
            assert "examples" in content or is_file, (row, media)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["examples"], row
        names = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert ("If-Match" in names) == row.startswith(("PATCH", "DELETE")), row
        assert ("Idempotency-Key" in names) == row.startswith("POST"), row


def test_keys_of_operators_and_the_scope_for_each_act_are_in_it(schema: dict[str, Any]) -> None:
    scheme = schema["components"]["securitySchemes"]["operatorKey"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == (
        *("http", "bearer"),
        "sk-fbop-…",
    )
    assert all(scope in scheme["description"] for scope in OperatorScope)
    for row, operation in operations(schema).items():
        row = shape(re.sub(r"{\w+}", "*", row))
        scopes = {shape(r): scope for r, scope in OPENED.items()} | {"GET me/": None}
        assert ({"operatorKey": []} in operation["security"]) == (row in scopes), row
        if scope := scopes.get(row):
            assert operation["x-operator-key-scopes"] == [scope], row
            assert f"needs the scope `{scope}`" in operation["description"], row


def test_bodies_are_closed(schema: dict[str, Any]) -> None:
    bodies = {n: c for n, c in schema["components"]["schemas"].items() if n.endswith("Request")}
    assert len(bodies) > 15
    assert {n for n, body in bodies.items() if body["additionalProperties"] is not False} == set()


def test_it_comes_in_the_format_that_is_asked_for() -> None:
    client, url = Client(), f"{API}schema/"
    for answer in (
        client.get(url, {"format": "json"}),
        client.get(url, headers={"accept": "application/vnd.oai.openapi+json"}),
    ):
        assert "json" in answer["content-type"]
        assert "/api/v1/tenants/" in str(list(json.loads(answer.content)["paths"]))
    answer = client.get(url, {"format": "yaml"}, headers={"accept": "application/json"})
    assert answer.content.startswith(b"openapi:")
    assert client.get(url, {"format": "xml"}).status_code == 400


def test_the_schema_and_its_pages_are_served_offline() -> None:
    client = Client()
    assert client.get(f"{API}schema/").status_code == 200
    page = client.get(f"{API}docs/")
    script = client.get(f"{API}docs/?script=")
    assert (page.status_code, script.status_code) == (200, 200)
    text = page.content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in text
    assert not re.search(r"https?://", text)
    assert not re.search(r"<script>|<style", text)  # the content security policy takes none
