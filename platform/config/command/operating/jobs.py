"""`forebay jobs COMMAND`: jobs of a tenant of a running platform, with a key of the tenant.

`forebay jobs` alone is the platform's own jobs process.
"""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from config.command import processes
from config.command.operating import names
from config.command.operating.api_client import KEY, OF_TENANT, ApiClient, Misuse, Row, Trouble
from config.command.operating.collection import tenant_path
from config.command.operating.program import (
    Columns,
    Program,
    Result,
    fields,
    json_object,
    outcome,
    table,
)

LOOK_EVERY_S = 2.0
MOST_PROBLEMS = 5  # that are shown
OVER = ("succeeded", "failed", "cancelled")
_NEW = ("kind", "base", "training_file", "validation_file", "parameters", "suffix", "pool")
_COLUMNS: Columns = {
    "NAME": "name",
    "KIND": "kind",
    "STATE": "state",
    "REASON": "reason",
    "DONE": lambda row: f"{row['done']}/{row['of'] or '?'} {row['unit']}",
    "LEFT": lambda row: _duration(row["seconds_left"]),
    "GPU": lambda row: _duration(round(row["gpu_ms"] / 1000)),
    "CREATED": "created_at",
}


def jobs(arguments: Sequence[str]) -> int:
    if not arguments:
        processes.jobs(arguments)
    program = Program("jobs", "Jobs of a tenant, with a key of the tenant.", OF_TENANT, KEY)
    listing = program.shows("list", _list, "all jobs, the latest first")
    listing.add_argument("tenant")
    listing.add_argument("--unfinished", action="store_true", help="those that are not over")
    _named(program.shows("show", _show, "a job"))
    _named(program.shows("follow", _follow, "its log and its curve, until it is over or paused"))
    _named(program.acts("pause", _pause, "stop after the present step, and keep it"))
    _named(program.acts("resume", _resume, "go on from the last checkpoint"))
    _named(program.acts("cancel", _cancel, "end it for good"))
    creating = program.acts("create", _create, "a job of any kind")
    creating.add_argument("tenant")
    creating.add_argument("kind", help="fine-tune, pretrain, distil, quantise, convert, …")
    creating.add_argument("--base", metavar="MODEL", help="NAME or NAME@3 of the registry")
    creating.add_argument("--data-set-version", metavar="DATA_SET", help="NAME, NAME@2, or its id")
    creating.add_argument("--training-file", metavar="ID", help="of /v1/files, of the same key")
    creating.add_argument("--validation-file", metavar="ID", help="the held-out part beside it")
    creating.add_argument("--parameters", type=json_object, metavar="JSON", help="of the trainer")
    creating.add_argument("--suffix", help="of the name of what it makes")
    creating.add_argument("--pool", help="whose GPUs it uses")
    creating.add_argument("--follow", action="store_true", help="until it is over or paused")
    return program.main(arguments)


def _named(parser: ArgumentParser) -> None:
    parser.add_argument("tenant")
    parser.add_argument("job", help="its id or its name")


def _path(typed: Namespace) -> str:
    return tenant_path(typed.tenant, "jobs")


def _place(typed: Namespace) -> str:
    """Returns the path of a job by its id, or by a name such as ftjob-0192…."""
    digits = typed.job.rpartition("-")[2] if typed.job.startswith(("ftjob-", "job-")) else typed.job
    digits = digits.replace("-", "")
    if len(digits) != 32:
        raise Misuse(f"{typed.job!r} is no job: `forebay jobs list` has their names")
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return f"{_path(typed)}{'-'.join(parts)}/"


def _list(link: ApiClient, typed: Namespace) -> Result:
    only = {"unfinished": "true"} if typed.unfinished else {}
    return table(link.rows(_path(typed), **only), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(link.get(_place(typed)).body)


def _create(link: ApiClient, typed: Namespace) -> Result:
    body = {name: value for name in _NEW if (value := getattr(typed, name)) is not None}
    if name := typed.data_set_version:
        body["data_set_version"] = names.data_set_version(link, typed.tenant, name)
    if typed.dry_run:
        return outcome("job", typed.kind, "would be created", body)
    row = link.send("POST", _path(typed), body).body
    if typed.follow:
        return _followed(link, f"{_path(typed)}{row['id']}/")
    return outcome("job", row["name"], "created", row)


def _pause(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "pause", "paused", ("paused",))


def _resume(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "resume", "resumed", ("validating", "queued", "running"))


def _cancel(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "cancel", "cancelled", ("cancelled",))


def _act(link: ApiClient, typed: Namespace, verb: str, done: str, wanted: Sequence[str]) -> Result:
    row = link.get(_place(typed)).body
    if row["state"] in wanted:
        return outcome("job", row["name"], f"unchanged, it is {row['state']}", row)
    if typed.dry_run:
        return outcome("job", row["name"], f"would be {done}", row)
    after = link.send("POST", f"{_place(typed)}{verb}/", {}).body
    return outcome("job", after["name"], done, after)


# Following ---------------------------------------------------------------------------------------
def _follow(link: ApiClient, typed: Namespace) -> Result:
    """Print log and curve as they come, on stderr with --json."""
    return _followed(link, _place(typed))


def _followed(link: ApiClient, place: str) -> Result:
    point = line = 0
    while True:
        row = link.get(place).body
        line = _print_new(link, f"{place}events/", line, _event_line)
        point = _print_new(link, f"{place}metrics/", point, _point_line, after=point)
        if row["state"] in (*OVER, "paused"):
            return _ended(row)
        time.sleep(LOOK_EVERY_S)


def _print_new(link: ApiClient, path: str, last: int, text: Any, **query: Any) -> int:
    """Print the rows after `last`, the oldest first. Returns the id of the newest."""
    new = sorted((row for row in link.rows(path, **query) if row["id"] > last), key=_id)
    for row in new:
        print(text(row), file=sys.stderr, flush=True)
    return new[-1]["id"] if new else last


def _id(row: Row) -> int:
    return int(row["id"])


def _event_line(row: Row) -> str:
    return f"{row['at'][:19]} {row['level']:<7} {row['message']}"


def _point_line(row: Row) -> str:
    held_out = "" if row["held_out_loss"] is None else f" held out {row['held_out_loss']:.4f}"
    train = "" if row["train_loss"] is None else f" train {row['train_loss']:.4f}"
    return f"{row['at'][:19]} step {row['step']}{train}{held_out} tokens {row['tokens']}"


def _ended(row: Row) -> Result:
    if row["state"] == "failed":
        raise Trouble(f"job {row['name']} failed: {'; '.join(_reasons(row))}")
    why = f" ({row['reason']})" if row["state"] == "paused" else ""
    return outcome("job", row["name"], f"{row['state']}{why}", row)


def _reasons(row: Row) -> Iterator[str]:
    """Yields its code and the first problems of its data."""
    yield row["reason"]
    for problem in row["problems"][:MOST_PROBLEMS]:
        line = f"line {problem['line']}: " if problem.get("line") else ""
        yield f"{line}{problem['message']}"
    if (more := len(row["problems"]) - MOST_PROBLEMS) > 0:
        yield f"and {more} more"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
