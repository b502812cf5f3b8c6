"""`launch` in an entry: a server that the supervisor of `make run` starts, watches and stops.

A command, its arguments and its environment come from FOREBAY_ENGINES alone, and stay with the
supervisor: in PostgreSQL, on pages and over the API there is only the model. What an operator makes
there can name a GGUF file in a folder of FOREBAY_MODELS; nothing else is theirs to say.

Nothing of Django is imported: the supervisor reads this before anything is set up.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

KINDS = ("llama_cpp", "vllm")
HOST = "127.0.0.1"
LEAST_PORT, MOST_PORT = 1024, 65535
_PRIVATE = ("127.0.0.1", "localhost")
# What we set ourselves, what would write prompts into the log, and a key that all would see.
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
    # Memory that no file backs; 0: the default (config/supervisor/engines/server_watch.py).
    memory_mb: int = 0

    @property
    def shown(self) -> dict[str, Any]:
        """What others than the supervisor get to know."""
        return {"model": self.model}


def read(kind: str, given: Any) -> Launch:
    """Raises ValueError."""
    if kind not in KINDS:
        raise ValueError(f"launch is for the kinds {' and '.join(KINDS)}")
    try:
        launch = msgspec.convert(given, Launch)
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
    """At which a server is to listen. Raises ValueError for another machine's."""
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


def model_file(folders: Sequence[Path], given: str) -> Path:
    """A GGUF file that lies in one of these folders, also after its links. Raises ValueError."""
    found = next((file for folder in folders if (file := _within(folder, given))), None)
    if found is None:
        raise ValueError(f"launch: no file {given!r} in a folder of FOREBAY_MODELS")
    if _beginning(found) != b"GGUF":
        raise ValueError(f"launch: {given!r} is not a GGUF file, or cannot be read")
    return found


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(4)
    except OSError:
        return b""


def _within(folder: Path, given: str) -> Path | None:
    try:
        top, file = folder.resolve(), (folder / given).resolve(strict=True)
        return file if file.is_file() and file.is_relative_to(top) else None
    except (OSError, ValueError):  # not there, a loop of links, a NUL
        return None


def api_key(secret: bytes, engine: str) -> str:
    """Of the server of this engine: whoever has the home's secret knows it."""
    digest = hmac.digest(secret, b"engine|" + engine.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
