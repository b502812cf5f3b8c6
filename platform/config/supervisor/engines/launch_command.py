"""The process of an engine's server: its command by kind, as the engine documents it."""

import ctypes
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.http_probe import get
from config.supervisor.keeper import Keeper
from config.supervisor.terminal import RunProblem
from inference.engine_entries import SLOTS
from inference.engine_launch import HOST, Launch, adapters_folder
from inference.engines.kinds.bundled_model import template_for
from inference.model_registry.headers import gguf
from inference.model_registry.headers.header import BadFile, Header

_GROUP = Path(__file__).with_name("server_group.py")
_LLAMA_CPP = [sys.executable, "-m", "inference.engines.kinds.llama_cpp_server"]
_RANK = 4  # llama.h: LLAMA_POOLING_TYPE_RANK
_CONTEXT = 2048  # tokens of a slot, by default
# Variables of the platform alone: its own, and those by which its libraries read keys of the object
# store (obstore), of the collector of traces, and of PostgreSQL. No list says what an engine needs:
# vLLM, its libraries and its drivers read hundreds. What a server of FOREBAY_ENGINES needs of these
# stands in its `env`.
_OURS = ("FOREBAY_", "DATABASE_URL", "REDIS_URL", "AWS_", "AZURE_", "GOOGLE_", "OTEL_", "PG")
_OPENMP = "libgomp.so.1"


@dataclass(frozen=True)
class EngineServer:
    """A server to run, and the engine that it serves."""

    engine: str
    kind: str
    port: int
    api_key: str
    fields: Mapping[str, Any]  # of the engine's entry
    launch: Launch

    @property
    def slots(self) -> int:
        return int(self.fields.get("slots", SLOTS))

    @property
    def served_name(self) -> str:
        return str(self.fields.get("model") or self.fields["name"])

    async def answers(self) -> bool:
        return (await get(HOST, self.port, "/health")).status == 200

    @property
    def runs(self) -> tuple[Any, ...]:
        """Everything that its command depends on: a change of it restarts the server."""
        own = (self.kind, self.port, self.api_key, self.slots, self.served_name)
        flags = (self.fields.get("context_length"), self.fields.get("priority_scheduling"))
        return (*own, *flags, *self.fields.get("adapters", ()), self.launch)


def server_child(server: EngineServer, keeper: Keeper, home: Home) -> Child:
    """Add the server as a child, which does not run yet. Raises RunProblem.

    It is another's program: it gets neither the master key nor a password or a key of a store.
    """
    launch = server.launch
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, launch.gpus))} if launch.gpus else {}
    variables = {**launch.env, **gpus, "FOREBAY_HOME": str(home.root)}
    if is_vllm := server.kind == "vllm":
        variables = {**_VLLM, **variables, "VLLM_API_KEY": server.api_key}
    else:
        variables |= {**openmp_variables(home), "FOREBAY_ENGINE_API_KEY": server.api_key}
    inherited = {name: it for name, it in os.environ.items() if not name.startswith(_OURS)}
    return keeper.child(
        f"engine.{server.engine}",
        _vllm(server) if is_vllm else llama_cpp_command(server, adapters_folder(home.root)),
        variables,
        stage=Stage.SERVER,
        inherited=inherited,
        # server_group.py ends all processes of a vLLM.
        orphan_signal=signal.SIGHUP if is_vllm else signal.SIGKILL,
        yields=False,
        may_quote=True,
    )


def llama_cpp_command(server: EngineServer, folder: Path) -> list[str]:
    """Returns the command. `folder` has the files of its adapters."""
    model = Path(server.launch.model)
    context = int(server.fields.get("context_length", _CONTEXT))
    flags: dict[str, object] = {"--model": model, "--port": server.port, "--slots": server.slots}
    if (header := _header(model)) and header.pooling:
        flags["--task"] = "rerank" if header.pooling == _RANK else "embed"
        context = min(context, header.context_length or context)  # it has no places beyond
    flags["--context"] = context
    if template := template_for(model):
        flags["--chat-template"] = template
    parts = [str(part) for flag in flags.items() for part in flag]
    for version in server.fields.get("adapters", ()):
        parts += ["--adapter", str(folder / f"{version}.gguf")]
    # With =, as a name may begin with a dash.
    return [*_LLAMA_CPP, f"--alias={server.served_name}", *parts]


def _header(model: Path) -> Header | None:
    """Returns the file's header; None for a file that the server will refuse, and say why."""
    try:
        return gguf.read(model)
    except (BadFile, OSError):
        return None


_VLLM = {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}


def _vllm(server: EngineServer) -> list[str]:
    fields, launch = server.fields, server.launch
    flags = ["--served-model-name", server.served_name, "--host", HOST, "--port", str(server.port)]
    flags += ["--max-num-seqs", str(server.slots), "--enable-prompt-tokens-details"]
    flags += ["--disable-uvicorn-access-log"]  # it has a line for each health check
    if fields.get("priority_scheduling"):
        flags += ["--scheduling-policy", "priority"]
    if context := fields.get("context_length"):
        flags += ["--max-model-len", str(context)]
    program = shutil.which(os.path.expanduser(launch.command or "vllm"))
    if not program:
        raise RunProblem(
            f"launch: there is no program {launch.command or 'vllm'!r}: set its command"
        )
    group = [sys.executable, "-I", str(_GROUP), program]
    return [*group, "serve", launch.model, *flags, *launch.args]


def openmp_variables(home: Home) -> dict[str, str]:
    """Returns the variables by which llama.cpp's loader finds OpenMP. Raises RunProblem.

    Its wheel takes libgomp.so.1 from the system. A Debian without a compiler has none, so the copy
    inside the wheel pykdtree stands in for it.
    """
    if _system_has_openmp():
        return {}
    folder = home.run / "lib"
    folder.mkdir(exist_ok=True)
    (folder / _OPENMP).unlink(missing_ok=True)
    (folder / _OPENMP).symlink_to(_copy_of_openmp())
    return {"LD_LIBRARY_PATH": str(folder)}


def _system_has_openmp() -> bool:
    try:
        ctypes.CDLL(_OPENMP)
    except OSError:
        return False
    return True


def _copy_of_openmp() -> Path:
    package = importlib.util.find_spec("pykdtree")
    if package is not None and package.origin is not None:
        libraries = Path(package.origin).parents[1] / "pykdtree.libs"
        for library in libraries.glob("libgomp-*.so*"):
            return library
    raise RunProblem(f"the embedded engine needs {_OPENMP}: install the system package libgomp1")
