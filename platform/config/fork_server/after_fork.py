"""Makes a fork what `python -m` would have started: session, streams, variables, settings."""

import ctypes
import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence

from setproctitle import setproctitle

from config.fork_server.request import ForkRequest

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def become_the_supervisors_child(request: ForkRequest, parent: int) -> None:
    """Wait for the end of the parent that forked us: the kernel then gives us to the supervisor.

    End if it gives us to another process, since the supervisor has died meanwhile.
    """
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.0002)
    _libc.prctl(_PR_SET_PDEATHSIG, request.orphan_signal)
    if os.getppid() != request.supervisor:
        os._exit(1)


def take_streams(streams: Sequence[int]) -> None:
    """Make the descriptors stdin, stdout and stderr, and close them where they were."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)


def take_variables(request: ForkRequest) -> None:
    """Take the variables, the folder and the scheduling of the new process."""
    if request.yields:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update({"DJANGO_SETTINGS_MODULE": "config.settings", **request.environment})
    sys.argv = [request.module, *request.arguments]
    title = " ".join([sys.executable, "-m", *sys.argv])
    setproctitle(title.encode("utf-8", "replace").decode())  # of a home that is not in UTF-8, too
    gc.enable()


def read_settings_again() -> None:
    """Read the settings with our own variables: scope, database, number, port of metrics."""
    import django
    from django.conf import settings
    from django.db import connections

    from config.logs import formatting, printed_text

    printed_text.end()
    formatting.process_name.cache_clear()
    before = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    for module in dict.fromkeys(("config.settings", settings.SETTINGS_MODULE)):
        own = importlib.reload(importlib.import_module(module))
    for name, value in vars(own).items():
        if name.isupper() and value != before.get(name):
            setattr(settings, name, value)
    for alias in [*connections]:
        if hasattr(connections._connections, alias):  # type: ignore[attr-defined]  # not in stubs
            del connections[alias]
    connections._settings = None  # type: ignore[attr-defined]  # the same: read DATABASES again
    vars(connections).pop("settings", None)
    os.environ["TZ"] = settings.TIME_ZONE  # as Django did when it read the settings first
    time.tzset()
    django.setup(set_prefix=False)  # logging; the apps are loaded
