"""The arguments after `python -m` that start Celery's processes."""

import shlex

from config import environment

_WORKER = shlex.split("-P threads --without-gossip --without-mingle --without-heartbeat -l warning")


def worker(queue: str) -> list[str]:
    """Returns the arguments of an engine's worker.

    Its tasks run until the engine's queue is empty, one at a time.
    """
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
    """Returns the common arguments; with JSON logs Celery prints no banner."""
    quiet = ["-q"] if environment.log_format() == "json" else []
    return ["config.celery_process", *quiet, "-A", "config"]
