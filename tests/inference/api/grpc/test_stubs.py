"""The stubs are what the pinned tool makes of proto/, and every method has a view."""

import runpy
from pathlib import Path

import pytest

from config.environment import PROJECT
from inference.api.grpc.methods import SERVICES

pytestmark = pytest.mark.unit


def contents(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*.py*") if path.suffix in (".py", ".pyi")]
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_the_stubs_are_of_today(tmp_path: Path) -> None:
    script = runpy.run_path(str(PROJECT / "proto" / "generate.py"))
    script["generate"](tmp_path)
    assert contents(script["STUBS"]) == contents(tmp_path), "run: make stubs"


def test_every_method_has_a_view() -> None:
    for service, views in SERVICES.items():
        assert set(views) == set(service.methods_by_name)
    routes = {f"/{service.full_name}/{name}" for service in SERVICES for name in SERVICES[service]}
    assert "/forebay.v1.InferenceService/Inference" in routes
    assert "/DeepSeekService/Inference" in routes
    assert max(map(len, routes)) <= 80  # as records take it


def test_existing_clients_of_the_plain_call_find_their_fields() -> None:
    """Numbers and types on the wire."""
    (deepseek,) = [service for service in SERVICES if service.full_name == "DeepSeekService"]
    method = deepseek.methods_by_name["Inference"]
    fields = {field.name: (field.number, field.type) for field in method.input_type.fields}
    text, whole, number = (9, 5, 2)  # FieldDescriptor.TYPE_STRING, _INT32, _FLOAT
    assert fields == {
        "prompt": (1, text),
        "max_tokens": (2, whole),
        "temperature": (3, number),
        "stop_words": (4, text),
    }
