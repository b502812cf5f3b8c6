"""The test of an engine's connection says what is wrong, and what the engine serves."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from inference.registry import connection
from inference.registry.connection import ListedModel, Problem, Report, examine

pytestmark = pytest.mark.unit
KEY = "sk-right"
MODELS = {"data": [{"id": "qwen", "max_model_len": 32768}, {"id": "other"}]}


async def _models(request: web.Request) -> web.Response:
    if request.headers.get("Authorization", "") not in ("", f"Bearer {KEY}"):
        return web.json_response({"error": {"message": "no"}}, status=401)
    return web.json_response(MODELS)


async def _embeddings(request: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "no pooling"}}, status=400)


async def _moved(request: web.Request) -> web.Response:
    return web.Response(status=301, headers={"Location": "http://169.254.169.254/"})


def _answers(status: int, text: str) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    return answer


ROUTES = [
    web.get("/v1/models", _models),
    web.post("/v1/embeddings", _embeddings),
    web.post("/v1/rerank", _embeddings),
    web.get("/page/models", _answers(200, "<html>Welcome</html>")),
    web.get("/list/models", _answers(200, '{"data": [7]}')),
    web.get("/broken/models", _answers(500, "")),
    web.get("/moved/models", _moved),
]


def examined(
    path: str, kind: str = "openai", model: str = "", scheme: str = "http", **fields: Any
) -> Report:
    async def run() -> Report:
        app = web.Application()
        app.add_routes(ROUTES)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            url = f"{scheme}://127.0.0.1:{port}{path}"
            report = await examine({"kind": kind, "url": url, **fields}, model)
        finally:
            await runner.cleanup()
        return report

    return asyncio.run(run())


def test_the_models_and_the_context_are_read() -> None:
    report = examined("/v1", api_key=KEY)
    assert report.problem is None
    assert report.models == (ListedModel("qwen", 32768), ListedModel("other"))
    assert (report.model, report.context_length) == ("qwen", 32768)


def test_the_capabilities_of_a_vllm_are_read() -> None:
    report = examined("/v1", "vllm", "qwen")
    assert report.context_length == 32768
    assert report.capabilities["text"]
    assert not report.capabilities["embeddings"]


def test_llama_cpp_lists_its_models_below_its_root() -> None:
    assert examined("", "llama_cpp").model == "qwen"


@pytest.mark.parametrize(
    ("path", "fields", "problem"),
    [
        ("/v1", {"api_key": "sk-wrong"}, Problem.KEY),
        ("/v1", {"model": "gone"}, Problem.NO_MODEL),
        ("/page", {}, Problem.FORM),
        ("/list", {}, Problem.FORM),
        ("/broken", {}, Problem.STATUS),
        ("/moved", {}, Problem.MOVED),
        ("/v2", {}, Problem.PATH),
    ],
)
def test_what_is_wrong_is_told_apart(path: str, fields: Any, problem: Problem) -> None:
    assert examined(path, **fields).problem is problem


@pytest.mark.parametrize("path", ["", "/v1/chat/completions", "/v1/models"])
def test_the_right_path_is_named(path: str) -> None:
    report = examined(path)
    assert report.problem is Problem.PATH
    assert report.better_url.endswith("/v1")


@contextmanager
def _silent() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _problem_at(url: str, **fields: Any) -> Problem | None:
    return asyncio.run(examine({"kind": "openai", "url": url, **fields})).problem


def test_a_refused_connection_and_a_silent_server_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        port = unused.getsockname()[1]
        assert _problem_at(f"http://127.0.0.1:{port}/v1") is Problem.REFUSED
    monkeypatch.setattr(connection, "LONGEST_S", 0.2)
    with _silent() as port:
        assert _problem_at(f"http://127.0.0.1:{port}/v1") is Problem.TIMEOUT


def test_an_unknown_name_and_a_server_without_tls() -> None:
    assert _problem_at("http://no-such-host.invalid/v1") is Problem.NAME
    report = examined("/v1", scheme="https")
    assert report.problem is Problem.TLS
    assert report.detail.startswith("no TLS")


@pytest.mark.parametrize(
    ("url", "hosted"),
    [
        ("http://169.254.169.254/latest", False),
        ("http://169.254.169.254/latest", True),
        ("http://[::ffff:169.254.169.254]/", True),
        ("http://100.100.100.200/", True),
        ("http://8.8.8.8/v1", False),  # outside of our networks: it has to be hosted
    ],
)
def test_forbidden_addresses_are_never_asked(url: str, hosted: bool) -> None:
    report = asyncio.run(examine({"kind": "openai", "url": url, "hosted": hosted}))
    assert report.problem is Problem.ADDRESS
    assert "address" in report.detail
