"""The agent's parent. It holds no socket and no lock, and resets all clocks when the agent ends.

Locked clocks outlive the process that locked them. So two processes watch each other over a pair of
sockets: the parent resets when the agent is killed or hangs, and the agent resets and ends when its
parent is killed. Where both are killed at once, systemd's ExecStopPost resets (deploy/systemd).
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from config.process_heartbeat import tell

log = logging.getLogger(__name__)
HANGS_S = 3.0  # without a heartbeat; with the reset itself within five seconds
OPENS_S = 50.0  # until the first one: a driver of many GPUs may open slowly, and nothing is locked
ENDS_S = 2.0  # a killed process that the driver holds back may take longer: it is not awaited
RESETS, AGAIN_S = 20, 1.0  # while the driver is restarted


class Watched:
    """The agent's end of the pair."""

    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._pair.setblocking(False)
        self.told_to_stop = False

    def goes_on(self) -> bool:
        """Give a sign of life. Returns whether the parent lives, and nobody said stop."""
        with suppress(BlockingIOError):  # the parent does not read: it may be stopped
            try:
                self._pair.send(b".")
            except OSError:
                return False
        return not self.told_to_stop

    def stop(self, *_signal: object) -> None:
        self.told_to_stop = True


def guard(agent: Callable[[Callable[[], bool]], None], reset: Callable[[], bool]) -> int:
    """Run `agent` in a child until it ends, then `reset`. Returns the exit code.

    `agent` gets a function that tells it whether to go on, and that it calls at least every second.
    """
    own, childs = socket.socketpair()
    guardian = _Guardian(own)
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        signal.signal(number, guardian.stop)
    child = os.fork()
    if not child:
        own.close()
        watched = Watched(childs)
        for number in signals:
            signal.signal(number, watched.stop)
        _run(agent, watched)
    childs.close()
    guardian.watch(child)
    return 0 if _resets(reset) and guardian.told_to_stop else 1


def _run(agent: Callable[[Callable[[], bool]], None], watched: Watched) -> None:
    """Run the agent and end the process, without what the parent does at its own end."""
    code = 1
    try:
        agent(watched.goes_on)
        code = 0
    except Exception:
        log.exception("the agent failed")
    finally:
        os._exit(code)


class _Guardian:
    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._child = 0
        self.told_to_stop = False

    def stop(self, *_signal: object) -> None:
        self.told_to_stop = True
        if self._child:
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGTERM)

    def watch(self, child: int) -> None:
        """Return when the agent has ended, or had to be killed because it hung."""
        self._child = child
        if self.told_to_stop:
            self.stop()
        self._pair.settimeout(OPENS_S)
        try:
            while self._pair.recv(64):
                self._pair.settimeout(HANGS_S)
                tell("READY=1\nWATCHDOG=1")
        except TimeoutError:
            log.error("the agent gives no sign of life: it is killed")
        except OSError:
            pass
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        until = time.monotonic() + ENDS_S
        while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < until:
            time.sleep(0.02)
        self._child = 0


def _resets(reset: Callable[[], bool]) -> bool:
    for _attempt in range(RESETS):
        if reset():
            return True
        time.sleep(AGAIN_S)
    return False
