"""Celery's own command, as `python -m config.celery_process …`, and its arguments for each process.

The `celery` script looks for `config` in the working folder first, where any project may have one.
"""

import shlex

from config import environment

_WORKER = shlex.split("-P threads --without-gossip --without-mingle --without-heartbeat -l warning")


def worker(queue: str) -> list[str]:
    """Returns what starts an engine's worker: tasks run until its queue is empty, one at a time."""
    return _worker(worker_name(queue), 1, queue)


def jobs() -> list[str]:
    return _worker("jobs", 2, "jobs")


def beat() -> list[str]:
    schedule = str(environment.HOME / "run" / "beat")
    return [*_celery(), "beat", "-s", schedule, "--pidfile=", "-l", "warning"]


def worker_name(queue: str) -> str:
    return queue.replace("engine", "worker", 1).replace("/", "-")


def _worker(name: str, threads: int, queue: str) -> list[str]:
    return [*_celery(), "worker", *_WORKER, "-c", str(threads), "-Q", queue, "-n", f"{name}@%h"]


def _celery() -> list[str]:
    """Returns the common arguments after `python -m`; with JSON logs Celery prints no banner."""
    quiet = ["-q"] if environment.log_format() == "json" else []
    return ["config.celery_process", *quiet, "-A", "config"]


if __name__ == "__main__":
    from celery.__main__ import main

    import config.celery  # noqa: F401  # from here on it is known

    main()
