"""A recorded session of a coding agent, replayed against the Responses API."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from tests.inference.api.responses.asking import read
from tests.inference.engine_server import EngineServer

SESSION = json.loads(Path(__file__).with_name("agent_session.json").read_text())
OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}


class Agent:
    """Keeps the items as the agent does: as they are done, without their ids and statuses."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._items: list[dict[str, Any]] = []
        self.text = ""

    async def take(self, step: dict[str, Any]) -> list[dict[str, Any]]:
        """Send a step's request. Returns the items of the answer."""
        self._items += [*step.get("items", ()), *self._reply(step)]
        body = {**SESSION["agent"], "tools": SESSION["tools"], "input": self._items}
        answer = await self._client.post("/v1/responses", json=body, headers=SESSION["headers"])
        assert answer.status_code == 200, (step["comment"], answer.text)
        made = self._read(answer.content)
        left_out = ("id", "status")
        self._items += [{k: v for k, v in item.items() if k not in left_out} for item in made]
        return made

    def _reply(self, step: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the results of the last calls, then the user's next words."""
        answered = {item["call_id"] for item in self._items if item["type"] in OUTPUTS.values()}
        calls = [
            item
            for item in self._items
            if item["type"] in OUTPUTS and item["call_id"] not in answered
        ]
        items: list[dict[str, Any]] = [
            {"type": OUTPUTS[call["type"]], "call_id": call["call_id"], "output": output}
            for call, output in zip(calls, step.get("results", ()), strict=True)
        ]
        if words := step.get("user"):
            content = [{"type": "input_text", "text": words}]
            items.append({"type": "message", "role": "user", "content": content})
        return items

    def _read(self, stream: bytes) -> list[dict[str, Any]]:
        """Returns the items that are done. Deltas belong to the item that has begun last."""
        items, begun, self.text = list[dict[str, Any]](), "", ""
        for _, event in read(stream):
            match event["type"]:
                case "response.output_item.added":
                    begun = event["item"]["id"]
                case "response.output_text.delta":
                    assert event["item_id"] == begun
                    self.text += event["delta"]
                case "response.output_item.done":
                    assert event["item"]["id"] == begun
                    items.append(event["item"])
                case "response.completed":
                    assert event["response"]["output"] == items
                    assert event["response"]["usage"]["total_tokens"] == 10
        assert event["type"] == "response.completed"
        return items


def script(engine: EngineServer, answer: dict[str, Any]) -> None:
    """Let the engine answer so."""
    engine.finish_reason = answer["finish_reason"]
    engine.deltas = [{"role": "assistant", "content": ""}]
    engine.deltas += [{"reasoning_content": piece} for piece in answer.get("reasoning", ())]
    engine.deltas += [{"content": piece} for piece in answer.get("text", ())]
    for index, call in enumerate(answer.get("calls", ())):
        head = {"index": index, "id": call["id"], "type": "function"}
        function = {"name": call["name"], "arguments": ""}
        engine.deltas.append({"tool_calls": [{**head, "function": function}]})
        for piece in call["arguments"]:
            part = {"index": index, "function": {"arguments": piece}}
            engine.deltas.append({"tool_calls": [part]})


def expected(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the type of each item, and its text."""
    items = list[tuple[str, str]]()
    if thought := "".join(answer.get("reasoning", ())):
        items.append(("reasoning", thought))
    if text := "".join(answer.get("text", ())):
        items.append(("message", text))
    for call in answer.get("calls", ()):
        arguments = "".join(call["arguments"])
        if call.get("custom"):
            items.append(("custom_tool_call", json.loads(arguments)["input"]))
        else:
            items.append(("function_call", arguments))
    return items


def text_of(item: dict[str, Any]) -> tuple[str, str]:
    match item["type"]:
        case "reasoning":
            return item["type"], item["summary"][0]["text"]
        case "message":
            return item["type"], item["content"][0]["text"]
        case "custom_tool_call":
            return item["type"], item["input"]
    return item["type"], item["arguments"]


async def test_the_session_of_an_agent(client: httpx.AsyncClient, engine: EngineServer) -> None:
    agent = Agent(client)
    for step in SESSION["steps"]:
        script(engine, step["answer"])
        items = await agent.take(step)
        assert list(map(text_of, items)) == expected(step["answer"]), step["comment"]
        assert agent.text == "".join(step["answer"].get("text", ()))

    chats = engine.asked
    assert [len(chat["tools"]) for chat in chats] == [4] * len(SESSION["steps"])
    for earlier, later in pairwise(chats):
        assert later["tools"] == earlier["tools"]
        before = [_without_thoughts(message) for message in earlier["messages"]]
        after = [_without_thoughts(message) for message in later["messages"]]
        assert after[: len(before)] == before
    first = chats[0]["messages"]
    assert [message["role"] for message in first] == ["system", "user"]
    assert first[0]["content"].startswith("You are a coding agent")
    assert first[1]["content"].endswith("test_total fails. Fix it.")
    thoughts = [[m for m in chat["messages"] if "reasoning_content" in m] for chat in chats]
    assert [len(each) for each in thoughts] == [0, 1, 2, 2, 2, 0, 0]
    patch = chats[3]["messages"][-2]["tool_calls"][0]["function"]
    assert json.loads(patch["arguments"])["input"].startswith("*** Begin Patch")
    assert chats[-1]["messages"][-2]["content"] == "aborted by user after 1.2s"


def _without_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "reasoning_content"}
