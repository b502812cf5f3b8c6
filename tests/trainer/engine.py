"""The bundled model's engine in a process of its own: its tokens, likelihoods and perplexity.

    python -m tests.trainer.engine MODEL.gguf TEXT [ADAPTER.gguf]

prints one JSON object. The engine tells no likelihoods of a prompt, so it grows token by token.
"""

import json
import math
import os
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.environment import PROJECT

CONTEXT, FIRST, LIKELIEST = 1536, 8, 1000


@dataclass(frozen=True)
class Reading:
    tokens: list[int]
    best: list[int]
    perplexity: float


def read(model: Path, text: str, adapter: Path | None = None) -> Reading:
    command = [sys.executable, "-m", "tests.trainer.engine", str(model), text]
    process = subprocess.run(
        [*command, *([str(adapter)] if adapter else [])],
        cwd=PROJECT,
        env={**os.environ, "GOMP_SPINCOUNT": "1000", "PYTHONPATH": f"{PROJECT}:{PROJECT}/platform"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return Reading(**json.loads(process.stdout.splitlines()[-1]))


def _main(model: str, text: str, *adapters: str) -> None:
    import xllamacpp

    server = xllamacpp.Server(_parameters(model, adapters))
    url = server.listening_address
    tokens = _ask(url, "/tokenize", {"content": text, "add_special": False})["tokens"]
    best, total = [], 0.0
    for end in range(FIRST, len(tokens)):
        if not (likelihoods := _next(url, tokens[:end], bool(adapters))):
            best.append(-1)  # half a letter came next: the engine tells nothing
            continue
        best.append(max(likelihoods, key=lambda token: likelihoods[token]))
        total -= likelihoods.get(tokens[end], min(likelihoods.values()) - 1)
    perplexity = math.exp(total / sum(token >= 0 for token in best))
    print(json.dumps({"tokens": tokens, "best": best, "perplexity": perplexity}))
    sys.stdout.flush()
    os._exit(0)  # the server's threads end with the process


def _parameters(model: str, adapters: tuple[str, ...]) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.hostnames = ["127.0.0.1"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        parameters.port = free.getsockname()[1]
    parameters.n_parallel, parameters.n_ctx = 1, CONTEXT
    parameters.fit_params, parameters.ui, parameters.verbosity = False, False, 0
    parameters.cache_ram_mib = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    if adapters:
        parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(each, 1.0) for each in adapters]
        parameters.lora_init_without_apply = True
    return parameters


def _next(url: str, tokens: list[int], adapted: bool) -> dict[int, float]:
    """Returns the logarithm of the likelihood of each of the likeliest next tokens."""
    body = {"prompt": tokens, "n_predict": 1, "n_probs": LIKELIEST, "temperature": 0, "top_k": 0}
    body |= {"cache_prompt": True, "post_sampling_probs": False}
    if adapted:
        body["lora"] = [{"id": 0, "scale": 1.0}]
    rows = _ask(url, "/completion", body).get("completion_probabilities", [])
    return {each["id"]: each["logprob"] for row in rows for each in row["top_logprobs"]}


def _ask(url: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read().decode(errors="replace"))  # a token may be half a letter


if __name__ == "__main__":
    _main(*sys.argv[1:])
