"""Embeddings through Forebay beside its engine alone: the same requests, in turns."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.figures import Aim, cell, median, paragraphs, ratio, table, tell
from bench.servers import random_encoder
from bench.servers.child import Child, temporary_folder
from bench.servers.forebay import forebay_on
from config.supervisor.ports import find_free

TEXTS, AT_ONCE, LENGTH = 32, 16, 30  # texts of a request, requests at once, letters of a text
MODEL, START_S = "encoder", 120
AIM = 0.95  # of the engine's own speed
METHOD = f"""\
{AT_ONCE} clients send `POST /v1/embeddings` with {TEXTS} texts of {LENGTH} tokens, as base64, one
request after the other: to Forebay, and to its engine, in turns. The engine is the embedded
llama.cpp with a model of all-MiniLM-L6's shape and random weights, in float32. Medians of the
rounds."""


@dataclass(slots=True)
class EmbeddingsReport:
    """Texts a second of each round."""

    seconds: float
    engine: list[float]
    forebay: list[float]


def measure(rounds: int, seconds: float) -> EmbeddingsReport:
    report = EmbeddingsReport(seconds, [], [])
    with temporary_folder() as folder, _engine(folder) as url:
        fields = {"kind": "llama_cpp", "url": url, "slots": AT_ONCE, "model": MODEL}
        with forebay_on({MODEL: fields}) as forebay:
            places = {url: report.engine, f"http://127.0.0.1:{forebay.port}": report.forebay}
            headers = {"Authorization": f"Bearer {forebay.key}"}
            for place in places:
                asyncio.run(_speed(place, headers, 1.0))  # to warm up
            for number in range(rounds):
                tell(f"embeddings, round {number + 1}/{rounds}")
                for place, speeds in places.items():
                    speeds.append(asyncio.run(_speed(place, headers, seconds)))
    return report


@contextmanager
def _engine(folder: Path) -> Iterator[str]:
    shape, port = random_encoder.MINI_LM, find_free()
    model = random_encoder.write(folder / "encoder.gguf", shape)
    module = "inference.engines.kinds.llama_cpp_server"
    options = [f"--model={model}", f"--port={port}", f"--slots={AT_ONCE}", f"--alias={MODEL}"]
    options += [f"--context={shape.context}", "--task=embed"]
    command = [sys.executable, "-m", module, *options]
    engine = Child(command, folder / "engine.log", env=os.environ)
    try:
        engine.wait_until_ready(f"http://127.0.0.1:{port}/health", START_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        engine.stop()


async def _speed(url: str, headers: dict[str, str], seconds: float) -> float:
    """Returns texts a second, of requests that ended within the time."""
    until = time.perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        clients = (_client(http, f"{url}/v1/embeddings", until, n) for n in range(AT_ONCE))
        counts = await asyncio.gather(*clients)
    return sum(counts) * TEXTS / (time.perf_counter() - until + seconds)


async def _client(http: aiohttp.ClientSession, url: str, until: float, number: int) -> int:
    """Returns how many requests it sent, one after the other. Raises ClientResponseError."""
    count = 0
    while time.perf_counter() < until:
        body = {"model": MODEL, "encoding_format": "base64", "input": _texts(number, count)}
        async with http.post(url, json=body) as answer:
            answer.raise_for_status()
            whole: dict[str, Any] = await answer.json()
        assert len(whole["data"]) == TEXTS
        count += 1
    return count


def _texts(client: int, request: int) -> list[str]:
    """Returns texts that no other request has."""
    head = f"{client:02} {request:06} "
    return [f"{head}{n:02} ".ljust(LENGTH, "abcdefg"[n % 7]) for n in range(TEXTS)]


def section(report: EmbeddingsReport) -> str:
    engine, forebay = median(report.engine), median(report.forebay)
    rows = [["engine alone", cell(engine), ""]]
    rows += [["through Forebay", cell(forebay), f"x {cell(ratio(forebay, engine))}"]]
    rounds = f"Rounds: {len(report.engine)} of {report.seconds:g} s each."
    return paragraphs(METHOD, table(["", "texts/s", "ratio"], rows), rounds)


def aims(report: EmbeddingsReport) -> list[Aim]:
    share = ratio(median(report.forebay), median(report.engine))
    text = f"embeddings of {TEXTS} texts, {AT_ONCE} at once: speed, engine alone"
    return [Aim(text, share, "x", AIM, at_least=True)]
