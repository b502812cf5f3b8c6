"""A knowledge base of Forebay's own docs, by a trained model: recall of questions (`make soak`).

The questions were written by hand before any search was tried. Each has the sections that answer
it; it counts if one of them is among the first five passages. It prints what it measured.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.environment import PROJECT
from tests.e2e import sentence_model
from tests.e2e.ask import eventually
from tests.e2e.conftest import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "FOREBAY_TEST_SENTENCES" not in os.environ, reason="downloads a model: make soak"
    ),
]
LEAST = 0.85
QUESTIONS = PROJECT / "tests" / "inference" / "knowledge" / "questions.tsv"
SCOPES = ("inference", "management:read", "management:write")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Its model is `minilm`."""
    folder = tmp_path_factory.mktemp("trained")
    ready = os.environ.get("FOREBAY_TEST_SENTENCE_MODEL")  # a GGUF that was made before
    file = Path(ready) if ready else folder / "minilm.gguf"
    if not ready:
        sentence_model.write(sentence_model.fetched(folder), file)
    launch = {"kind": "llama_cpp", "slots": 2, "launch": {"model": str(file)}}
    platform = Platform(folder, {"minilm": launch})
    yield platform
    platform.stop()


@pytest.fixture
def api(trained: Platform) -> Iterator[httpx.Client]:
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    trained.manage("create_tenant", "library", "--json")
    made = trained.manage("create_api_key", "library", "--name", "all", *scopes, "--json")
    key = json.loads(made)["api_key"]
    base_url = f"{trained.url}/api/v1/tenants/library/knowledge-bases/"
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=120) as client:
        yield client


def pages() -> dict[str, Path]:
    """Returns Forebay's pages for users, by the names that the questions have."""
    docs = PROJECT / "docs"
    named = {str(page.relative_to(docs)): page for page in docs.rglob("*.md")}
    own = {name: page for name, page in named.items() if not name.startswith("examples/")}
    return {**own, "README.zh-CN.md": PROJECT / "README.zh-CN.md"}


@pytest.mark.slow(seconds=3000)
def test_questions_find_their_section_among_five_passages(api: httpx.Client) -> None:
    base = api.post("", json={"name": "manual", "model": "minilm"}).json()["id"]
    for name, page in pages().items():
        upload(api, base, name, page.read_text())
    wait(api, base)
    misses = []
    lines = QUESTIONS.read_text().splitlines()
    for line in lines:
        question, *sections = line.split("\t")
        answer = eventually(partial(search, api, base, question), 120)
        places = [place(one) for one in answer["passages"]]
        if not set(places) & set(sections):
            misses.append((question, sections, places))
    recall = 1 - len(misses) / len(lines)
    print(f"recall@5 {recall:.2f}", *misses, sep="\n")
    assert recall >= LEAST


def upload(api: httpx.Client, base: str, name: str, content: str) -> None:
    body = {"name": name, "content": content, "url": f"https://docs.example/{name}"}
    answer = admitted(partial(api.post, f"{base}/documents/", json=body))
    assert answer.status_code == 201, answer.text


def search(api: httpx.Client, base: str, question: str) -> Any:
    """Returns the answer; None where a busy machine had no time for it."""
    answer = admitted(partial(api.post, f"{base}/search/", json={"question": question}))
    assert answer.status_code in (200, 503), answer.text
    return answer.json() if answer.status_code == 200 else None


def admitted(send: Callable[[], httpx.Response]) -> httpx.Response:
    """A key has 300 calls of the management API a minute."""
    while (answer := send()).status_code == 429:
        time.sleep(int(answer.headers["retry-after"]))
    return answer


def wait(api: httpx.Client, base: str) -> None:
    for state in ("waiting", "embedding"):
        while api.get(f"{base}/documents/", params={"state": state}).json()["results"]:
            time.sleep(1)
    failed: Any = api.get(f"{base}/documents/", params={"state": "failed"}).json()["results"]
    assert failed == []


def place(passage: dict[str, Any]) -> str:
    return str(passage["url"]).removeprefix("https://docs.example/")
