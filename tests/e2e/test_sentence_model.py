"""Embeddings that mean something: a small trained model behind a running platform (`make soak`)."""

import math
import os
from collections.abc import Iterator

import openai
import pytest

from tests.e2e import sentence_model
from tests.e2e.conftest import Platform
from tests.e2e.test_documented_clients import printed

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "FOREBAY_TEST_SENTENCES" not in os.environ, reason="downloads a model: make soak"
    ),
]
# A sentence, and one that says the same in other words.
PAIRS = [
    ("How do I reset my password?", "I cannot log into my account."),
    ("The invoice is wrong.", "You charged me too much money."),
    ("A man is eating pasta.", "Someone has noodles for dinner."),
    ("It is raining heavily.", "The weather is terrible today."),
    ("The patient has a fever.", "His body temperature is too high."),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Its model is `minilm`."""
    folder = tmp_path_factory.mktemp("trained")
    file = sentence_model.write(sentence_model.fetched(folder), folder / "minilm.gguf")
    launch = {"kind": "llama_cpp", "slots": 2, "launch": {"model": str(file)}}
    platform = Platform(folder, {"minilm": launch})
    yield platform
    platform.stop()


def cosine(one: list[float], other: list[float]) -> float:
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


@pytest.mark.slow(seconds=120)
def test_sentences_of_one_meaning_are_near_each_other(trained: Platform) -> None:
    sentences = [sentence for pair in PAIRS for sentence in pair]
    with openai.OpenAI(base_url=f"{trained.url}/v1", api_key=trained.new_key()) as client:
        answer = client.embeddings.create(model="minilm", input=sentences)
        again = client.embeddings.create(model="minilm", input=sentences[::-1])
    vectors = [row.embedding for row in answer.data]
    assert {len(vector) for vector in vectors} == {384}
    assert 5 * len(sentences) < answer.usage.prompt_tokens < 15 * len(sentences)
    for vector, row in zip(vectors, again.data[::-1], strict=True):
        assert cosine(vector, row.embedding) > 0.999, "whatever stands beside it"
    for number, sentence in enumerate(vectors[::2]):
        scores = [cosine(sentence, other) for other in vectors[1::2]]
        assert scores.index(max(scores)) == number, (PAIRS[number], scores)


@pytest.mark.slow(seconds=120)
def test_the_documented_search_has_the_right_passage_first(trained: Platform) -> None:
    best, *_others = printed("embeddings.py", trained, "minilm")
    assert best.endswith("Herons stand in shallow water and wait for fish.")
