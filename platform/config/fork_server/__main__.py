"""python -m config.fork_server: its stdin is the socket of the supervisor.

A byte comes with the descriptors of a request.
"""

import gc
import os
import runpy
import select
import signal
import socket

from setproctitle import getproctitle

from config.fork_server import after_fork, loading
from config.fork_server.request import ForkRequest

LOADED = b"L"
_MOST = 5  # descriptors: the request, where to answer, stdin, stdout, stderr


def main() -> ForkRequest | None:
    """Load and fork until the supervisor ends. Returns the request in each forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    getproctitle()  # it finds the line of arguments before variables are set
    link = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    loading.set_up()
    link.send(LOADED)
    for _ in loading.the_rest():
        while link.fileno() >= 0 and _has_request(link):
            if request := _answer(link):
                return request
    while link.fileno() >= 0:
        if request := _answer(link):
            return request
    return None


def _has_request(link: socket.socket) -> bool:
    return bool(select.select([link], [], [], 0)[0])


def _answer(link: socket.socket) -> ForkRequest | None:
    """Fork once. Returns the request in the new process, and None here; closes a link that ends."""
    _, descriptors, *_ = socket.recv_fds(link, 1, _MOST)
    if not descriptors:
        link.close()
        return None
    gc.freeze()  # no fork writes to what all of them share
    middle = _forked()
    if middle == 0:
        middle = _fork_and_end()
        link.close()
        return _begin(middle, *descriptors)
    for descriptor in descriptors:  # with no process to be had, this is the answer
        os.close(descriptor)
    if middle:
        os.waitpid(middle, 0)
    return None


def _forked() -> int | None:
    """Returns what os.fork does, None where there is no memory or no process to be had."""
    try:
        return os.fork()
    except OSError:
        return None


def _fork_and_end() -> int:
    """Fork a child, in which this returns our pid, and end: orphans go to the supervisor."""
    middle = os.getpid()
    if _forked() != 0:
        os._exit(0)
    return middle


def _begin(middle: int, file: int, answer: int, *streams: int) -> ForkRequest:
    request = ForkRequest.read(file)
    after_fork.become_the_supervisors_child(request, middle)
    after_fork.take_streams(streams)
    try:
        os.write(answer, str(os.getpid()).encode())
    except BrokenPipeError:  # the supervisor has waited too long, and started it another way
        os._exit(1)
    os.close(answer)
    after_fork.take_variables(request)
    return request


if __name__ == "__main__" and (request := main()):
    after_fork.read_settings_again()
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)
