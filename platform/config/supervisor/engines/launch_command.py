"""The command that starts an engine's server, by its kind, as the engine documents it."""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.supervisor.engines import openmp
from config.supervisor.home import Home
from config.supervisor.terminal import Problem
from inference.engines.kinds.bundled_model import template_for
from inference.launching import HOST, Launch
from inference.pools import SLOTS

_GROUP = Path(__file__).with_name("server_group.py")
_LLAMA_CPP = [sys.executable, "-m", "inference.engines.kinds.llama_cpp_server"]
_CONTEXT = 2048  # tokens of a slot, by default
_OURS = ("FOREBAY_", "DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Server:
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

    @property
    def runs(self) -> tuple[Any, ...]:
        """Everything that its command depends on: a change of it restarts the server."""
        own = (self.kind, self.port, self.api_key, self.slots, self.served_name)
        flags = (self.fields.get("context_length"), self.fields.get("priority_scheduling"))
        return (*own, *flags, self.launch)


@dataclass(frozen=True)
class Command:
    line: list[str]
    variables: dict[str, str]
    orphan_signal: signal.Signals = signal.SIGKILL


def command(server: Server, home: Home) -> Command:
    """Returns the command of a server. Raises Problem."""
    return _vllm(server) if server.kind == "vllm" else _llama_cpp(server, home)


def llama_cpp(model: Path, name: str, port: int, slots: int, context: int) -> list[str]:
    flags: dict[str, object] = {
        "--model": model,
        "--port": port,
        "--slots": slots,
        "--context": context,
    }
    if template := template_for(model):
        flags["--chat-template"] = template
    parts = (str(part) for flag in flags.items() for part in flag)
    return [*_LLAMA_CPP, f"--alias={name}", *parts]  # with =, as a name may begin with a dash


def _llama_cpp(server: Server, home: Home) -> Command:
    context = int(server.fields.get("context_length", _CONTEXT))
    name, model = server.served_name, Path(server.launch.model)
    line = llama_cpp(model, name, server.port, server.slots, context)
    key = {"FOREBAY_ENGINE_API_KEY": server.api_key}
    return Command(line, {**_launch_variables(server.launch), **openmp.variables(home), **key})


def _vllm(server: Server) -> Command:
    fields = server.fields
    flags = ["--served-model-name", server.served_name, "--host", HOST, "--port", str(server.port)]
    flags += ["--max-num-seqs", str(server.slots), "--enable-prompt-tokens-details"]
    flags += ["--disable-uvicorn-access-log"]  # it has a line for each health check
    if fields.get("priority_scheduling"):
        flags += ["--scheduling-policy", "priority"]
    if context := fields.get("context_length"):
        flags += ["--max-model-len", str(context)]
    group = [sys.executable, "-I", str(_GROUP), _executable(server.launch)]
    line = [*group, "serve", server.launch.model, *flags, *server.launch.args]
    usual = {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
    variables = {**usual, **_launch_variables(server.launch), "VLLM_API_KEY": server.api_key}
    return Command(line, variables, orphan_signal=signal.SIGHUP)  # server_group.py ends them all


def _executable(launch: Launch) -> str:
    if path := shutil.which(os.path.expanduser(launch.command or "vllm")):
        return path
    raise Problem(f"launch: there is no program {launch.command or 'vllm'!r}: set its command")


def _launch_variables(launch: Launch) -> dict[str, str]:
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, launch.gpus))} if launch.gpus else {}
    return {**launch.env, **gpus}


def without_platform_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables without master key and database passwords, for another's program."""
    return {name: value for name, value in variables.items() if not name.startswith(_OURS)}
