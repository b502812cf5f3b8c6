"""The worker processes of this host, and which engines' Celery queues each of them serves.

Engines have a process each while there are few. From FOREBAY_WORKER_PROCESSES on, a further one
goes to the process that has the fewest, and stays there. Workers of one engine never share a
process: it has one figure of each engine's load.
"""

import json
from collections.abc import Mapping

from config.supervisor.home import Home
from config.supervisor.processes import Processes


class WorkerProcesses:
    def __init__(self, home: Home, processes: Processes, most: int) -> None:
        self._home, self._processes, self._most = home, processes, most
        self._queues: list[dict[str, str]] = []  # of each process: queue -> its engine
        self._published: dict[int, frozenset[str]] = {}  # by the process's number, from 1

    def assign(self, engines: Mapping[str, str]) -> None:
        """Have these queues served, and no others. `engines` has the engine of each.

        Raises RunProblem, OSError; the next call tries again.
        """
        for queues in self._queues:
            for queue in queues.keys() - engines.keys():
                del queues[queue]
        served = {queue for queues in self._queues for queue in queues}
        for queue, engine in engines.items():
            if queue not in served:
                self._place_for(engine)[queue] = engine
        for number, queues in enumerate(self._queues, start=1):
            if self._published.get(number) != queues.keys():
                self._publish(number, frozenset(queues))

    def _place_for(self, engine: str) -> dict[str, str]:
        """Returns the queues of the process to which a worker of this engine goes."""
        places = [queues for queues in self._queues if engine not in queues.values()]
        fewest = min(places, key=len, default=None)
        if fewest is None or (fewest and len(self._queues) < self._most):
            fewest = {}
            self._queues.append(fewest)
        return fewest

    def _publish(self, number: int, queues: frozenset[str]) -> None:
        file = self._home.run / f"worker.{number}.json"
        self._home.write_private(file, json.dumps([*queues]))
        if number not in self._published:
            self._processes.worker(number, file)
        self._published[number] = queues
