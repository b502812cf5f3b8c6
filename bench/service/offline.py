"""The assistant without a platform around it: the product's own rules, classifier and ranking.

It has the client's methods. Nothing of HTTP, queue, database or signatures is in it: minutes of one
core instead of hours, for a first look and for many persons.
"""

import json
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from bench.servers.child import Child, temporary_folder
from bench.service.handbook_search import Embed, Handbook, Passage
from bench.service.shop import Refused, Shop, as_answer
from config.supervisor.ports import find_free
from inference.assistants import turns
from inference.assistants.example_groups import examples
from inference.assistants.spec import AssistantSpec
from inference.assistants.state import Act, HandOver, Result, Say, Search, State, Step
from inference.assistants.training import cross_validated, train
from inference.assistants.understanding import classify
from inference.assistants.wording import plain

TODAY = date(2026, 12, 1)
BATCH, PATIENCE_S = 32, 600.0


@contextmanager
def embedder(model: Path) -> Iterator[Embed]:
    """Serve a model for embeddings while the context lasts."""
    port = find_free()
    command = [sys.executable, "-m", "inference.engines.kinds.llama_cpp_server"]
    command += ["--model", str(model), "--port", str(port), "--task", "embed"]
    command += ["--slots", "1", "--context", "512"]
    with temporary_folder() as folder:
        child = Child(command, folder / "engine.log")
        child.wait_until_ready(f"http://127.0.0.1:{port}/health", PATIENCE_S)
        try:
            yield lambda texts: _embedded(f"http://127.0.0.1:{port}/v1/embeddings", texts)
        finally:
            child.stop(30)


def _embedded(url: str, texts: Sequence[str]) -> list[list[float]]:
    vectors = list[list[float]]()
    for start in range(0, len(texts), BATCH):
        body = json.dumps({"input": list(texts[start : start + BATCH])}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            vectors += [row["embedding"] for row in json.load(answer)["data"]]
    return vectors


class Offline:
    """Dialogues with a version of this spec; actions act on the shop at once."""

    def __init__(self, spec: AssistantSpec, handbook: Handbook, shop: Shop, embed: Embed) -> None:
        self._spec, self._handbook, self._shop, self._embed = spec, handbook, shop, embed
        self._examples = examples(spec)
        self._vectors = embed([example.text for example in self._examples])
        self._classifier = train(self._examples, self._vectors, spec.embedding_model)
        self._states = dict[str, State]()

    def right(self) -> float:
        """Returns the share of examples that a classifier without them knows."""
        return cross_validated(self._examples, self._vectors, self._spec.sure).right

    def begin(self, assistant: str, person: str, language: str) -> str:
        name = f"dlg_{uuid.uuid5(uuid.NAMESPACE_URL, person).hex}"
        self._states[name], _greeting = turns.opened(self._spec, language)
        return name

    def close(self, dialogue: str, *, resolved: bool) -> None:
        del self._states[dialogue]

    def say(self, dialogue: str, text: str) -> dict[str, Any]:
        (vector,) = self._embed([text])
        predictions = classify(self._classifier, vector, text)
        state = self._states[dialogue]
        state, step = turns.take(self._spec, state, text, predictions, TODAY)
        passages = list[Passage]()
        while isinstance(step, Search | Act):
            if isinstance(step, Search):
                query = vector if step.query == text else self._embed([step.query])[0]
                passages = self._handbook.search(step.query, query)
                state, step = turns.after_search(self._spec, state, passages)
            else:
                result = self._act(dialogue, step)
                state, step = turns.after_action(self._spec, state, result)
        self._states[dialogue] = state
        return self._turn(state, step, passages)

    def _act(self, dialogue: str, step: Act) -> Result:
        name = str(uuid.UUID(dialogue.removeprefix("dlg_")))
        call = f"{name} {step.number}"
        try:
            order = self._shop.do(call, name, step.action, dict(step.arguments))
        except Refused:
            return Result("refused", step.number)
        return Result("done", step.number, as_answer(order))

    def _turn(self, state: State, step: Step, passages: list[Passage]) -> dict[str, Any]:
        """Returns what the API would answer, as far as persons look at it."""
        is_cited = isinstance(step, Say) and step.key == "passages"
        answer = {
            "step": step.key if isinstance(step, Say) else type(step).__name__.lower(),
            "intent": getattr(step, "intent", "") or state.intent,
            "text": plain(self._spec, step, state.language, passages, "short"),
            "sources": [{"url": each.url} for each in passages] if is_cited else [],
        }
        status = "waiting" if isinstance(step, HandOver) else "open"
        return {"answer": answer, "dialogue": {"status": status}}
