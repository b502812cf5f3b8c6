"""A client of Ollama's API: `python docs/examples/ollama_chat.py URL KEY MODEL`.

It needs Ollama's SDK (`pip install ollama`). The URL is Forebay's, without /ollama.
"""

import sys
from typing import Any

from ollama import Client, ResponseError

QUESTION: Any = {
    "role": "user",
    "content": "What is the capital of France? Answer in one sentence.",
}
OPTIONS = {"num_predict": 30, "temperature": 0}


def main(url: str, key: str, model: str) -> None:
    with Client(f"{url}/ollama", headers={"Authorization": f"Bearer {key}"}) as client:
        print("models:", *(each.model for each in client.list().models))
        ask(client, model)
        stream(client, model)
        be_refused(client)


def ask(client: Client, model: str) -> None:
    answer = client.chat(model, [QUESTION], options=OPTIONS)
    seconds = (answer.eval_duration or 0) / 1e9
    print(f"answer: {answer.message.content!r}")
    print(f"tokens: {answer.prompt_eval_count} asked, {answer.eval_count} in {seconds:.1f} s")


def stream(client: Client, model: str) -> None:
    *parts, last = client.chat(model, [QUESTION], options=OPTIONS, stream=True)
    print(f"stream: {len(parts)} parts, {last.done_reason}")


def be_refused(client: Client) -> None:
    try:
        client.pull("llama3.2")
    except ResponseError as error:
        print(f"refused: {error.status_code} {error.error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
