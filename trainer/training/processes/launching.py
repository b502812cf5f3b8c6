"""Starts the processes of an order by torchrun, and passes on how they ended.

Started by an outer torchrun, as over several hosts, an order is one of its processes already.
"""

import json
import os
import sys
from typing import Any
from uuid import uuid4

from trainer.events import Events
from trainer.job import Job
from trainer.refusals import EndedElsewhere, Exit


def launch_if_wanted(job: Job) -> None:
    """Returns where this is one of the processes or the only one; else raises how they ended."""
    count = job.order.parameters["processes"]
    if count > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        ending = _ending(job, count)
        if ending not in (Exit.DONE, Exit.PAUSED):
            _report(job, ending)
        raise EndedElsewhere(ending)


def _ending(job: Job, count: int) -> Exit:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    order = job.order.checkpoints / "order.json"
    order.write_text(json.dumps(job.order.fields()))
    try:
        elastic_launch(_config(count), sys.executable)("-m", "trainer", str(order))
    except SignalException:
        return Exit.PAUSED
    except ChildFailedError as error:
        return _exit(error.get_first_failure()[1].exitcode)
    return Exit.DONE


def _report(job: Job, ending: Exit) -> None:
    """Writes an error where the first process, which reports, was not the one that failed."""
    with Events(job.order.output) as events:
        last = events.path.read_text(encoding="utf-8").splitlines()[-1:]
        if not last or json.loads(last[0])["type"] != "error":
            events.error("process_failed", f"One of the processes ended with {ending.name}")


def _config(count: int) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid4().hex, max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost",
        monitor_interval=0.1,
    )  # fmt: skip


def _exit(code: int) -> Exit:
    return Exit(code) if code in set(Exit) else Exit.BUG
