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

from config.fork_server import loading, rebirth
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
        while link.fileno() >= 0 and select.select([link], [], [], 0)[0]:
            if request := _answer(link):
                return request
    while link.fileno() >= 0:
        if request := _answer(link):
            return request
    return None


def _answer(link: socket.socket) -> ForkRequest | None:
    """Fork once. Returns the request in the new process, and None here; closes a link that ends."""
    _, descriptors, *_ = socket.recv_fds(link, 1, _MOST)
    if not descriptors:
        link.close()
        return None
    gc.freeze()  # no fork writes to what all of them share
    if middle := os.fork():
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(middle, 0)
        return None
    middle = os.getpid()
    if os.fork():  # orphans go to the supervisor, which is their reaper
        os._exit(0)
    link.close()
    return _begin(middle, *descriptors)


def _begin(middle: int, file: int, answer: int, *streams: int) -> ForkRequest:
    request = ForkRequest.read(file)
    rebirth.come_of_age(request, middle)
    rebirth.take_streams(streams)
    try:
        os.write(answer, str(os.getpid()).encode())
    except BrokenPipeError:  # the supervisor has waited too long, and started it another way
        os._exit(1)
    os.close(answer)
    rebirth.take_over(request)
    return request


if __name__ == "__main__" and (request := main()):
    rebirth.read_settings_again()
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)
