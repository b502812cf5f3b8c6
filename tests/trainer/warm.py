"""Forks a trainer for each order: PyTorch is imported once, which takes longer than most tests.

Runs in .venv-train: an order's path comes on a line of stdin, `{"pid": ...}` and, at its end,
`{"pid": ..., "code": ...}` go out on stdout. Each child is a process like any trainer.
"""

import json
import os
import sys
from importlib import import_module
from threading import Thread

import torch

from trainer.__main__ import main

# What they import only when it is first used would be imported by each child anew.
SLOW = ("torch._dynamo", "transformers.models.llama.modeling_llama", "peft", "sklearn.isotonic")
WORK = ("trainer.training.running", "trainer.compression.distilling", "trainer.scoring.scoring")


def serve() -> None:
    torch.set_num_threads(1)  # no thread of it runs when a child is forked
    for name in (*SLOW, *WORK):
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order)
        _tell(pid=pid)
        Thread(target=_wait, args=(pid,)).start()


def _run(order: dict[str, str]) -> None:
    with open(order["stderr"], "a") as stderr:
        os.dup2(stderr.fileno(), 2)
        os.dup2(stderr.fileno(), 1)
        code = main([order["order"]], stderr)
    os._exit(code)


def _wait(pid: int) -> None:
    _tell(pid=pid, code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _tell(**fields: int) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
