"""A chat request as code: curl, Python with OpenAI's package, and Node with OpenAI's package."""

import json
import shlex
from pprint import pformat
from textwrap import indent
from typing import Any, NamedTuple

from django.conf import settings

KEY = "KEY"  # where the reader puts an API key
SHORT = 120  # characters of a body on one line
# Parameters of `chat.completions.create` of OpenAI's package for Python; others are `extra_body`.
_OWN = frozenset(
    {
        "messages",
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "stream",
    }
)
Body = dict[str, Any]


class Sample(NamedTuple):
    name: str  # for ids in a page
    label: str
    text: str


def samples(body: Body, key: str = KEY) -> list[Sample]:
    """Returns the request in each language, ready to run."""
    return [
        Sample("curl", "curl", _curl(body, key)),
        Sample("python", "Python", _python(body, key)),
        Sample("node", "Node", _node(body, key)),
    ]


def first_request(model: str) -> Body:
    """Returns a request whose answer is soon there."""
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": model, "messages": messages, "max_tokens": 60}


def _base() -> str:
    return str(settings.PUBLIC_URL)


def _json(body: Body) -> str:
    text = json.dumps(body, ensure_ascii=False)
    return text if len(text) <= SHORT else json.dumps(body, ensure_ascii=False, indent=2)


def _curl(body: Body, key: str) -> str:
    unbuffered = "-N " if body.get("stream") else ""
    header = shlex.quote(f"Authorization: Bearer {key}").replace("'", '"', 2)
    quoted = _json(body).replace("'", "'\\''")
    return (
        f"curl {unbuffered}{_base()}/v1/chat/completions \\\n"
        f"  -H {header} \\\n"
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{quoted}'"
    )


def _python(body: Body, key: str) -> str:
    own = {name: value for name, value in body.items() if name in _OWN}
    if more := {name: value for name, value in body.items() if name not in _OWN}:
        own["extra_body"] = more
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in own.items())
    result = "stream" if body.get("stream") else "answer"
    return (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={_base() + '/v1'!r}, api_key={key!r})\n"
        f"{result} = client.chat.completions.create(\n{arguments})\n{_python_end(body)}"
    )


def _python_end(body: Body) -> str:
    if body.get("stream"):
        return (
            "for chunk in stream:\n"
            "    if chunk.choices:\n"
            '        print(chunk.choices[0].delta.content or "", end="", flush=True)'
        )
    return f"print(answer.choices[0].message{'' if body.get('tools') else '.content'})"


def _literal(value: Any) -> str:
    text = pformat(value, width=88, sort_dicts=False)
    return indent(text, "    ").lstrip()


def _node(body: Body, key: str) -> str:
    client = f"{{ baseURL: {json.dumps(_base() + '/v1')}, apiKey: {json.dumps(key)} }}"
    request = json.dumps(body, ensure_ascii=False, indent=2)
    result = "stream" if body.get("stream") else "answer"
    return (
        'import OpenAI from "openai";\n\n'
        f"const client = new OpenAI({client});\n"
        f"const {result} = await client.chat.completions.create({request});\n{_node_end(body)}"
    )


def _node_end(body: Body) -> str:
    if body.get("stream"):
        return (
            "for await (const chunk of stream) {\n"
            '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n'
            "}"
        )
    return f"console.log(answer.choices[0].message{'' if body.get('tools') else '.content'});"
