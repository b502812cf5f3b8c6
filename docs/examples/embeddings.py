"""A search by meaning: `python docs/examples/embeddings.py URL KEY MODEL`.

It needs OpenAI's SDK (`pip install openai`). The URL is Forebay's, without /v1.
"""

import math
import sys

from openai import OpenAI

PASSAGES = [
    "Herons stand in shallow water and wait for fish.",
    "Lorries pay a toll on motorways.",
    "Bread rises because yeast makes gas.",
]


def main(url: str, key: str, model: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        passages = embedded(client, model, PASSAGES)
        (question,) = embedded(client, model, ["Which bird catches fish?"])
    scores = [similarity(question, passage) for passage in passages]
    for score, text in sorted(zip(scores, PASSAGES, strict=True), reverse=True):
        print(f"{score:.2f}  {text}")


def embedded(client: OpenAI, model: str, texts: list[str]) -> list[list[float]]:
    """Returns a vector for each text, in their order. One request may have 2,048 of them."""
    answer = client.embeddings.create(model=model, input=texts)
    return [row.embedding for row in answer.data]


def similarity(one: list[float], other: list[float]) -> float:
    """Returns the cosine of the angle between two vectors."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


if __name__ == "__main__":
    main(*sys.argv[1:])
