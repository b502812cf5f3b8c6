"""A recorded session of a coding agent, replayed against the Messages API."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.engines.kinds.openai import OpenAIEngine
from tests.inference.api.anthropic.test_events import read
from tests.inference.engine_server import EngineServer

SESSION = json.loads(Path(__file__).with_name("agent_session.json").read_text())
GROWS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class Agent:
    """Keeps the conversation as an agent does: with the blocks as it has read them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._messages: list[dict[str, Any]] = []
        self.stop_reason = ""

    async def take(self, step: dict[str, Any]) -> Any:
        """Send a step's request. Returns the message, or the count of its tokens."""
        headers, body = SESSION["headers"], self._body(step)
        answer = await self._client.post(step["path"], json=body, headers=headers)
        assert answer.status_code == 200, (step["comment"], answer.text)
        if not body.get("stream"):
            return answer.json()
        blocks = self._blocks(answer.content)
        self._messages.append({"role": "assistant", "content": blocks})
        return blocks

    def _body(self, step: dict[str, Any]) -> dict[str, Any]:
        if not (step.get("agentic") or step.get("replays")):
            return dict(step["body"])
        agent = {**SESSION["agent"], "tools": SESSION["tools"]}
        if "count_tokens" in step["path"]:
            return {**step["body"], "system": agent["system"], "tools": agent["tools"]}
        self._messages += step["body"]["messages"] if "body" in step else [self._reply(step)]
        text = json.dumps(agent["system"]).replace("HASH", step.get("hash", "a1f"))
        return {**agent, "system": json.loads(text), "messages": self._messages}

    def _reply(self, step: dict[str, Any]) -> dict[str, Any]:
        """Returns the results of the last calls, or the user's next words."""
        calls = [b for b in self._messages[-1]["content"] if b["type"] == "tool_use"]
        blocks = list[dict[str, Any]]()
        for call, result in zip(calls, step["results"], strict=True):
            own = result if isinstance(result, dict) else {"content": result}
            blocks.append({"type": "tool_result", "tool_use_id": call["id"], **own})
        if words := step.get("user"):
            blocks.append({"type": "text", "text": words})
        return {"role": "user", "content": blocks}

    def _blocks(self, stream: bytes) -> list[dict[str, Any]]:
        blocks, inputs = list[dict[str, Any]](), dict[int, str]()
        for _, event in read(stream):
            match event["type"]:
                case "content_block_start":
                    blocks.append(event["content_block"])
                case "content_block_delta":
                    delta, number = event["delta"], event["index"]
                    if name := GROWS.get(delta["type"]):
                        blocks[number][name] += delta[name]
                    else:
                        inputs[number] = inputs.get(number, "") + delta["partial_json"]
                case "content_block_stop" if event["index"] in inputs:
                    blocks[event["index"]]["input"] = json.loads(inputs[event["index"]])
                case "message_delta":
                    self.stop_reason = event["delta"]["stop_reason"]
        return blocks


def script(engine: EngineServer, answer: dict[str, Any]) -> None:
    """Let the engine answer so."""
    engine.words, engine.finish_reason = answer.get("text", []), answer["finish_reason"]
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


def expected(answer: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = list[dict[str, Any]]()
    if thought := "".join(answer.get("reasoning", ())):
        blocks.append({"type": "thinking", "thinking": thought, "signature": "forebay"})
    if text := "".join(answer.get("text", ())):
        blocks.append({"type": "text", "text": text})
    for call in answer.get("calls", ()):
        inputs = json.loads("".join(call["arguments"]))
        own = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": inputs}
        blocks.append(own)
    return blocks


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The prompts that the engine has counted."""
    prompts = list[dict[str, Any]]()

    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        prompts.append(body)
        return 1234

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    return prompts


async def test_the_session_of_an_agent(
    client: httpx.AsyncClient, engine: EngineServer, counts: list[dict[str, Any]]
) -> None:
    agent = Agent(client)
    for step in SESSION["steps"]:
        if "tokens" in step:
            assert await agent.take(step) == {"input_tokens": step["tokens"]}
            continue
        script(engine, step["answer"])
        message = await agent.take(step)
        if isinstance(message, dict):
            assert message["stop_reason"] == "max_tokens"
            continue
        assert message == expected(step["answer"]), step["comment"]
        stop = "tool_use" if step["answer"].get("calls") else "end_turn"
        assert agent.stop_reason == stop

    _, *chats = engine.asked
    assert len(SESSION["tools"]) == 15
    for earlier, later in pairwise(chats):
        assert len(later["tools"]) == 15
        assert later["tools"] == earlier["tools"]
        before = [_without_thoughts(each) for each in earlier["messages"]]
        assert [_without_thoughts(m) for m in later["messages"]][: len(before)] == before
    assert not any(b"billing" in json.dumps(chat).encode() for chat in chats)
    assert counts[0]["tools"] == chats[0]["tools"]
    assert counts[0]["messages"] == chats[0]["messages"]
    thoughts = [[m for m in chat["messages"] if "reasoning_content" in m] for chat in chats]
    assert [len(each) for each in thoughts] == [0, 1, 1, 0, 0]
    assert chats[2]["messages"][-1]["content"] == "Error: File does not exist."


def _without_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "reasoning_content"}
