"""A real vLLM on the CPU, with the bundled model and a LoRA adapter; one for all tests."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from inference.engines.base import EngineConfig
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from tests_vllm import real_vllm
from tests_vllm.real_vllm import COMMAND, OFFLINE, START_S


@pytest.fixture(scope="session")
def models() -> Path:
    return real_vllm.models()


@pytest.fixture(scope="session")
def url(models: Path) -> Iterator[str]:
    """Of a server with priority scheduling. Where FOREBAY_VLLM_URL names one, that is taken."""
    if given := os.environ.get("FOREBAY_VLLM_URL"):
        yield given
        return
    port = _free_port()
    own = OFFLINE | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    server = subprocess.Popen(_command(models, port), env=os.environ | own)
    try:
        asyncio.run(_healthy(f"http://127.0.0.1:{port}/health", server))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _command(models: Path, port: int) -> list[str]:
    return [
        *(str(COMMAND), "serve", str(models / "base")),
        *("--served-model-name", "smol", "--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", "1024", "--max-num-seqs", "8", "--enforce-eager"),
        *("--dtype", "float32"),  # with bfloat16 this build answers nonsense on a CPU
        *("--scheduling-policy", "priority", "--enable-prompt-tokens-details"),
        *("--enable-lora", "--max-lora-rank", "8"),
        *("--lora-modules", f"adapter={models / 'adapter'}"),
    ]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def _healthy(url: str, server: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START_S
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < give_up:
            assert server.poll() is None, "vLLM has ended"
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)
    raise TimeoutError("vLLM is not ready")


@pytest.fixture
async def session() -> AsyncIterator[EngineSession]:
    async with EngineSession() as session:
        yield session


@pytest.fixture
def engine(url: str) -> VllmEngine:
    return an_engine(url, "smol")


@pytest.fixture
def adapter(url: str) -> VllmEngine:
    return an_engine(url, "adapter")


def an_engine(url: str, model: str) -> VllmEngine:
    config = EngineConfig(model, "vllm", url, model, priority_scheduling=True)
    return VllmEngine(config)
