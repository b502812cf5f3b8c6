"""The embedded engine: one GGUF model behind llama.cpp's own OpenAI-compatible HTTP server.

    python -m inference.engines.kinds.llama_cpp_server --model FILE --port PORT --slots 16 \\
        --context 2048

It is a process of its own, so that a crash in native code costs one engine and not the platform.
FOREBAY_ENGINE_API_KEY, when set, is the key that callers must send; /health stays open.
"""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

# OpenMP reads it when it is loaded. By default its threads spin so long at every barrier that one
# busy process beside the engine costs it four fifths of its speed.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
try:
    import xllamacpp
except ImportError as error:  # most likely libgomp.so.1, which the wheel takes from the system
    sys.exit(f"llama.cpp cannot be loaded: {error}; install libgomp1")


_BATCH = 2048  # tokens that one for embeddings computes together, at least


def main() -> None:
    # The default action ends the process at once, also while native code is busy loading.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options = _options()
    problem = _file_problem(options.model) or _port_problem(options.port)
    if problem:
        sys.exit(problem)
    try:
        server = xllamacpp.Server(_parameters(options))
    except RuntimeError:
        sys.exit(
            f"llama.cpp cannot load {options.model}: damaged, incomplete or of an unknown kind"
        )
    print(f"{options.alias} listening on {server.listening_address}", flush=True)
    while True:
        signal.pause()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama_cpp_server", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=16, help="answers generated at the same time")
    parser.add_argument("--context", type=int, default=2048, help="tokens per slot")
    parser.add_argument("--alias", default="model", help="the model's name in the API")
    parser.add_argument("--chat-template", type=Path, help="a file; else the model's own")
    parser.add_argument(
        "--adapter", type=Path, action="append", default=[], help="a LoRA file; may be repeated"
    )
    parser.add_argument("--task", choices=["embed", "rerank"], help="instead of texts")
    parser.add_argument("--threads", type=int, default=_processors())
    return parser.parse_args()


def _processors() -> int:
    """Returns how many processors may be used: a container often has fewer than the machine."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return allowed


def _file_problem(model: Path) -> str | None:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        return f"cannot read {model}: {error.strerror}"
    return None if magic == b"GGUF" else f"{model} is not a GGUF model file"


def _port_problem(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return f"cannot listen on 127.0.0.1:{port}: {error.strerror}"
    return None


def _parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    if options.chat_template:
        params.chat_template = options.chat_template.read_text()
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    key = os.environ.get("FOREBAY_ENGINE_API_KEY")
    params.api_keys = [key] if key else []
    params.cors_origins = "null"  # or any web page in a browser on this machine could use it
    params.lora_adapters = _adapters(options.adapter)
    params.lora_init_without_apply = True
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    if options.task:
        params.embedding = True
        # An input has to fit into one batch.
        params.n_batch = params.n_ubatch = max(options.context, _BATCH)
    if options.task == "rerank":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.fit_params = False  # it would shrink the context that the platform was configured with
    params.cache_ram_mib = 0  # prompts of many tenants must not pile up in memory
    params.ui = False
    params.endpoint_metrics = True
    params.verbosity = 1
    # cpp-httplib holds a thread for each open connection, idle ones too.
    params.n_threads_http = 2 * options.slots + 8
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = options.threads
        cpu.poll = 0  # spinning gains nothing here and starves web and worker
    return params


def _adapters(files: list[Path]) -> list[xllamacpp.CommonAdapterLoraInfo]:
    """Returns the adapters that requests may name. A file that is gone must not stop the base.

    Their scale is 0, or requests that name none would be answered by all of them.
    """
    for file in files:
        if problem := _file_problem(file):
            print(f"an adapter is left out: {problem}", flush=True)
    there = [file for file in files if not _file_problem(file)]
    return [xllamacpp.CommonAdapterLoraInfo(str(file), 0.0) for file in there]


if __name__ == "__main__":
    main()
