"""Celery's own command, as `python -m config.celery_process …`, and its arguments for each process.

The `celery` script looks for `config` in the working folder first, where any project may have one.
"""

import shlex

from config import environment

_WORKER = shlex.split("-P threads --without-gossip --without-mingle --without-heartbeat -l warning")


_MOST_ENGINES = 1_000  # of one process; Celery starts a thread for each that has work


def worker(queue: str) -> list[str]:
    """Returns what starts one engine's worker: a task runs until the engine's queue is empty."""
    return _worker(queue.replace("engine", "worker", 1).replace("/", "-"), 1, queue)


def shared_worker(number: int) -> list[str]:
    """Returns what starts a worker of several engines, whose queues a file lists.

    Nobody sends to the queue in its arguments: without one Celery would take the jobs'.
    """
    return _worker(f"worker.{number}", _MOST_ENGINES, f"workers.{number}")


def jobs() -> list[str]:
    return _worker("jobs", 2, "jobs")


def beat() -> list[str]:
    schedule = str(environment.HOME / "run" / "beat")
    return [*_celery(), "beat", "-s", schedule, "--pidfile=", "-l", "warning"]


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
