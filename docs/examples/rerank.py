"""The best documents for a query: `python docs/examples/rerank.py URL KEY MODEL`.

It needs Cohere's SDK (`pip install cohere`). The URL is Forebay's, without /v2.
"""

import sys

import cohere

DOCUMENTS = [
    "Lorries pay a toll on motorways.",
    "Herons stand in shallow water and wait for fish.",
    "Bread rises because yeast makes gas.",
]


def main(url: str, key: str, model: str) -> None:
    client = cohere.ClientV2(api_key=key, base_url=url)
    query = "Which bird catches fish?"
    answer = client.rerank(model=model, query=query, documents=DOCUMENTS, top_n=2)
    for result in answer.results:
        print(f"{result.relevance_score:.2f}  {DOCUMENTS[result.index]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
