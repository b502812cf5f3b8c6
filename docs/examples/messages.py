"""A client of Anthropic's Messages API: `python docs/examples/messages.py URL KEY MODEL`.

It needs Anthropic's SDK (`pip install anthropic`). The URL is Forebay's, without /v1.
"""

import sys
from typing import Any

import anthropic

QUESTION: Any = {"role": "user", "content": "What is the capital of France?"}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def main(url: str, key: str, model: str) -> None:
    with anthropic.Anthropic(base_url=url, api_key=key) as client:
        ask(client, model)
        stream(client, model)
        call_a_tool(client, model)
        be_refused(client)


def ask(client: anthropic.Anthropic, model: str) -> None:
    counted = client.messages.count_tokens(model=model, messages=[QUESTION])
    message = client.messages.create(model=model, max_tokens=30, messages=[QUESTION])
    usage = message.usage
    print(f"answer: {text_of(message)!r}")
    print(f"tokens: {counted.input_tokens} asked, {usage.output_tokens} answered")


def stream(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=30, messages=[QUESTION]) as events:
        pieces = list(events.text_stream)
        message = events.get_final_message()
    print(f"stream: {len(pieces)} pieces, {message.stop_reason}, {message.id[:4]}…")


def call_a_tool(client: anthropic.Anthropic, model: str) -> None:
    """Have the model call a tool, and give it the result."""
    more: Any = {"model": model, "max_tokens": 60, "tools": [WEATHER]}
    message = client.messages.create(messages=[QUESTION], tool_choice={"type": "any"}, **more)
    call = next(block for block in message.content if block.type == "tool_use")
    print(f"call: {call.name} of {', '.join(call.input)}")
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "22 degrees"}
    turns: Any = [
        QUESTION,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    print("result:", client.messages.create(messages=turns, **more).stop_reason)


def be_refused(client: anthropic.Anthropic) -> None:
    try:
        client.messages.create(model="none", max_tokens=1, messages=[QUESTION])
    except anthropic.NotFoundError as error:
        body: Any = error.body
        print(f"refused: {error.status_code} {body['error']['type']} {body['error']['code']}")


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


if __name__ == "__main__":
    main(*sys.argv[1:])
