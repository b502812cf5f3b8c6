"""The code of a request in each language: whole, quoted, and of the same request."""

import json
import shlex
from typing import Any

import pytest

from console.playground.code import Body, first_request, samples

pytestmark = pytest.mark.unit
AWKWARD = 'It\'s "quoted", $HOME `date` \\ and\nof two lines; 你好 {{ x }}'
FULL: Body = {
    "model": "mock",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": AWKWARD * 3},
    ],
    "temperature": 0.5,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "top_k": 4,
    "stream": False,
}


def text(language: str, body: Body, key: str = "KEY") -> str:
    return next(each.text for each in samples(body, key) if each.name == language)


@pytest.mark.parametrize("body", [first_request("mock"), FULL])
def test_curl_sends_the_request_whatever_is_in_it(body: Body, settings: Any) -> None:
    settings.PUBLIC_URL = "https://llm.example"
    words = shlex.split(text("curl", body, "sk-fb-1"))
    assert words[:2] == ["curl", "https://llm.example/v1/chat/completions"]
    assert "Authorization: Bearer sk-fb-1" in words
    assert json.loads(words[words.index("-d") + 1]) == body


def called(code: str) -> dict[str, Any]:
    """Returns the arguments of `create` in the code for Python, by a stand-in of OpenAI's."""
    calls: list[dict[str, Any]] = []

    class Answer:
        choices: Any = ()

        def __iter__(self) -> Any:
            return iter(())

        def __getattr__(self, name: str) -> Any:
            return self

        def __getitem__(self, _index: int) -> Any:
            return self

    class Client:
        def __init__(self, **options: Any) -> None:
            self.chat = self.completions = self
            calls.append(options)

        def create(self, **arguments: Any) -> Any:
            calls.append(arguments)
            answer = Answer()
            answer.choices = answer
            return answer

    source = code.replace("from openai import OpenAI", "")
    exec(compile(source, "sample", "exec"), {"OpenAI": Client, "print": lambda *_a, **_k: None})
    return {**calls[0], **calls[1]}


@pytest.mark.parametrize("body", [first_request("mock"), FULL, {**FULL, "stream": True}])
def test_python_calls_with_the_request_whatever_is_in_it(body: Body, settings: Any) -> None:
    settings.PUBLIC_URL = "https://llm.example"
    if body.get("stream"):
        body = {name: value for name, value in body.items() if name != "tools"}
    arguments = called(text("python", body, "sk-fb-1"))
    assert arguments.pop("base_url") == "https://llm.example/v1"
    assert arguments.pop("api_key") == "sk-fb-1"
    assert {**arguments.pop("extra_body", {}), **arguments} == body


def test_node_has_the_request_as_json(settings: Any) -> None:
    settings.PUBLIC_URL = "https://llm.example"
    code = text("node", FULL, 'sk"1')
    begin = code.index("create(") + len("create(")
    assert json.loads(code[begin : code.index(");\nconsole")]) == FULL
    assert '"sk\\"1"' in code


def test_streams_are_read_as_streams() -> None:
    body = {**first_request("mock"), "stream": True}
    assert text("curl", body).startswith("curl -N ")
    assert "for chunk in stream" in text("python", body)
    assert "for await (const chunk of stream)" in text("node", body)
