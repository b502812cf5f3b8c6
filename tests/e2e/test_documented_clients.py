"""The clients of docs/examples, as they stand, over real engines.

Those of embeddings and rankings have tiny encoders of random weights, which say nothing about their
texts; `test_sentence_model.py` has a trained one.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.servers import random_encoder
from bench.servers.random_encoder import Shape
from config.environment import PROJECT
from tests.e2e.conftest import Platform
from tests.e2e.test_sdks import MODEL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
EXAMPLES = PROJECT / "docs" / "examples"
SMALL = Shape(layers=2, size=32, heads=4, context=256)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two servers of its own: the models `minilm` and `reranker`."""
    folder = tmp_path_factory.mktemp("vectors")
    files = {
        name: random_encoder.write(folder / f"{name}.gguf", SMALL, ranks=name == "reranker")
        for name in ("minilm", "reranker")
    }
    launched = {
        name: {"kind": "llama_cpp", "slots": 2, "launch": {"model": str(file)}}
        for name, file in files.items()
    }
    platform = Platform(folder, launched)
    yield platform
    platform.stop()


def printed(example: str, platform: Platform, model: str) -> list[str]:
    """Returns the lines that it prints."""
    command = [sys.executable, str(EXAMPLES / example), platform.url, platform.new_key(), model]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.slow(seconds=60)
def test_messages(real: Platform) -> None:
    answer, tokens, stream, call, result, refused = printed("messages.py", real, MODEL)
    assert answer.startswith(("answer: '", 'answer: "'))
    assert tokens.endswith(" answered")
    assert "pieces" in stream
    assert stream.endswith("msg_…")
    assert call == "call: get_weather of city"
    assert result in ("result: end_turn", "result: max_tokens", "result: tool_use")
    assert refused == "refused: 404 not_found_error model_not_found"


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_embeddings(vectors: Platform) -> None:
    lines = printed("embeddings.py", vectors, "minilm")
    scores = [float(line.split()[0]) for line in lines]
    assert len(lines) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_rerank(vectors: Platform) -> None:
    lines = printed("rerank.py", vectors, "reranker")
    scores = [float(line.split()[0]) for line in lines]
    assert len(lines) == 2
    assert scores == sorted(scores, reverse=True)
