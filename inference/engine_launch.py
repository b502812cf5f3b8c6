"""`launch` in an entry: a server that the supervisor of `make run` starts, watches and stops.

A command, its arguments and its environment come from FOREBAY_ENGINES alone, and stay with the
supervisor: PostgreSQL, pages and the API have only the model. An operator can choose a GGUF file in
a folder of FOREBAY_MODELS, and nothing else.

Django is not imported: the supervisor reads this before it is set up.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

KINDS = ("llama_cpp", "vllm")
HOST = "127.0.0.1"
LEAST_PORT = 1024
_OF_REGISTRY = "registry:"
_PRIVATE = ("127.0.0.1", "localhost")
# Set by the platform, would log prompts, or would reveal a key in the process list.
_NOT_IN_ARGS = (
    "--host",
    "--port",
    "--api-key",
    "--served-model-name",
    "--enable-log-requests",
    "--enable-log-outputs",
    "--uds",
)


class Launch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    command: str = ""  # the executable of vLLM; "": `vllm` of the PATH
    args: list[str] = []
    env: dict[str, str] = {}
    gpus: list[int] = []  # CUDA_VISIBLE_DEVICES
    start_within_s: float = 900.0
    # Anonymous memory; 0: the default (config/supervisor/engines/server_life.py).
    memory_mb: int = 0

    @property
    def shown(self) -> dict[str, Any]:
        """Returns the part that others than the supervisor may see."""
        return {"model": self.model}


def read(kind: str, fields: Any) -> Launch:
    """Parse it. Raises ValueError."""
    if kind not in KINDS:
        raise ValueError(f"launch is for the kinds {' and '.join(KINDS)}")
    try:
        launch = msgspec.convert(fields, Launch)
    except msgspec.ValidationError as problem:
        raise ValueError(f"launch: {problem}") from None
    if not launch.model:
        raise ValueError("launch: model is empty")
    if kind != "vllm" and (launch.command or launch.args):
        raise ValueError("launch: command and args are for the kind vllm")
    if launch.memory_mb < 0:
        raise ValueError("launch: memory_mb must not be below 0")
    if launch.gpus and "CUDA_VISIBLE_DEVICES" in launch.env:
        raise ValueError("launch: name the GPUs in gpus or in CUDA_VISIBLE_DEVICES, not in both")
    for argument in launch.args:
        if (name := argument.partition("=")[0].replace("_", "-")) in _NOT_IN_ARGS:
            raise ValueError(f"launch: {name} is not for args")
    return launch


def port_of(url: str) -> int:
    """Returns the port for the server. Raises ValueError for another machine's address."""
    parts = urlsplit(url)
    try:
        port = parts.port or 0
    except ValueError:
        port = 0
    if parts.scheme != "http" or parts.hostname not in _PRIVATE or port < LEAST_PORT:
        raise ValueError(
            f"launch: the url must be http://{HOST}:PORT with a port from {LEAST_PORT} on; "
            "leave it out to get a free one"
        )
    return port


def url_of(kind: str, port: int) -> str:
    return f"http://{HOST}:{port}" + ("/v1" if kind == "vllm" else "")


def adapters_folder(home: Path) -> Path:
    """Returns FOREBAY_ADAPTERS: the files of adapters that engines load."""
    return Path(os.environ.get("FOREBAY_ADAPTERS") or home / "adapters").expanduser()


def model_file(folders: Sequence[Path], name: str) -> Path:
    """Returns a GGUF file inside of one of these folders, links resolved. Raises ValueError."""
    file = next((path for folder in folders if (path := _within(folder, name))), None)
    if file is None:
        raise ValueError(f"launch: no file {name!r} in a folder of FOREBAY_MODELS")
    if _beginning(file) != b"GGUF":
        raise ValueError(f"launch: {name!r} is not a GGUF file, or cannot be read")
    return file


def registry_name(version: str, file: str) -> str:
    """Returns the model of a launch whose file is a copy of a version in the registry."""
    return f"{_OF_REGISTRY}{version}/{file}"


def is_of_registry(name: str) -> bool:
    return name.startswith(_OF_REGISTRY)


def registry_file(copies: Path, name: str) -> Path | None:
    """Returns the copy of a version's file, None before it is made. Raises ValueError."""
    file = name.removeprefix(_OF_REGISTRY)
    return model_file([copies], file) if (copies / file).exists() else None


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(4)
    except OSError:
        return b""


def _within(folder: Path, name: str) -> Path | None:
    try:
        top, file = folder.resolve(), (folder / name).resolve(strict=True)
        return file if file.is_file() and file.is_relative_to(top) else None
    except (OSError, ValueError):  # not there, a loop of links, a NUL
        return None


def api_key(secret: bytes, engine: str) -> str:
    """Returns the key of an engine's server, derived from the home's secret."""
    digest = hmac.digest(secret, b"engine|" + engine.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
