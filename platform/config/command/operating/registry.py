"""`forebay models`, `forebay pools` and `forebay engines`: what a running platform serves.

All three have list, show, add, set and remove, of an object that is addressed by its name.
"""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.command.operating import versions
from config.command.operating.api_client import ApiAnswer, ApiClient, Misuse, Row, Trouble
from config.command.operating.program import (
    Columns,
    Program,
    Result,
    differing,
    fields,
    json_object,
    number_or,
    outcome,
    table,
    typed_fields,
)

AUTO = "auto"
_UNSEEN = ("api_key",)  # the API never shows it: whether it has changed is unknown
LOOK_EVERY_S, QUIET_LOOKS = 2.0, 2  # while an engine drains
_STEADY = ("kind", "pool", "model")  # cannot be changed


class ResourceKind(NamedTuple):
    noun: str
    columns: Columns
    fields: tuple[str, ...] = ()  # what can be set
    needed: tuple[str, ...] = ()  # to add one
    removal: str = "fine where there is none"

    @property
    def path(self) -> str:
        return f"{self.noun}s/"

    def program(self, options: Callable[[ArgumentParser], object] | None = None) -> Program:
        """Returns the subcommand; `options` adds those of `add`, `change` and `set`."""
        text = f"The {self.noun}s of a running platform, with an operator key."
        program = Program(f"{self.noun}s", text)
        listing = program.shows("list", self.list, f"all {self.noun}s, or some of them")
        for name in ("pool", "model"):
            if name in self.columns.values() and name != self.noun:
                listing.add_argument(f"--{name}", metavar="NAME")
        program.shows("show", self.show, f"one {self.noun}").add_argument("name")
        acts = {"add": (self.add, "a new one; refused where there is one")}
        if options:
            acts["change"] = (self.change, "one that is there")
        acts["set"] = (self.set, "add it or change it, as it takes")
        for act, (run, does) in acts.items():
            parser = program.acts(act, run, does)
            parser.add_argument("name")
            if options:
                options(parser)
        program.acts("remove", self.remove, self.removal).add_argument("name")
        return program

    # Commands --------------------------------------------------------------------------------
    def list(self, link: ApiClient, typed: Namespace) -> Result:
        chosen = typed_fields(typed, ("pool", "model"))
        rows = link.rows(self.path)
        matching = (row for row in rows if all(row.get(n) == v for n, v in chosen.items()))
        return table(matching, self.columns)

    def show(self, link: ApiClient, typed: Namespace) -> Result:
        return fields(self._require(link, typed.name).body)

    def add(self, link: ApiClient, typed: Namespace) -> Result:
        if self._find(link, typed.name):
            raise Trouble(f"{self.noun} {typed.name} is there already: use set, or change")
        return self._add(link, typed)

    def change(self, link: ApiClient, typed: Namespace) -> Result:
        return self._change_fields(link, typed, self._require(link, typed.name))

    def set(self, link: ApiClient, typed: Namespace) -> Result:
        present = self._find(link, typed.name)
        return self._change_fields(link, typed, present) if present else self._add(link, typed)

    def remove(self, link: ApiClient, typed: Namespace) -> Result:
        present = self._find(link, typed.name)
        if present is None:
            return outcome(self.noun, typed.name, "unchanged, it is not there", None)
        if typed.dry_run:
            return outcome(self.noun, typed.name, "would be removed", present.body)
        link.send("DELETE", self._path(present.body), etag=present.etag)
        return outcome(self.noun, typed.name, "removed", present.body)

    def drain(self, link: ApiClient, typed: Namespace) -> Result:
        """Drain an engine; with `--wait`, return once it has no request."""
        result = self._set_draining(link, typed, "drain", "draining")
        if typed.wait is not None and not typed.dry_run:
            _wait_until_idle(link, self._path(result.data[self.noun]), typed.name, typed.wait)
        return result

    def resume(self, link: ApiClient, typed: Namespace) -> Result:
        return self._set_draining(link, typed, "resume", "resumed")

    def _set_draining(self, link: ApiClient, typed: Namespace, act: str, did: str) -> Result:
        row = self._require(link, typed.name).body
        # One that rests to save energy drains, and may be woken at any moment.
        if row["draining"] == (act == "drain") and not row["resting"]:
            return outcome(self.noun, typed.name, "unchanged", row)
        if typed.dry_run:
            return outcome(self.noun, typed.name, f"would be {did}", row)
        after = link.send("POST", f"{self._path(row)}{act}/", {}).body
        return outcome(self.noun, typed.name, did, after)

    # Steps -----------------------------------------------------------------------------------
    def _find(self, link: ApiClient, name: str) -> ApiAnswer | None:
        """Returns the row of this name and its ETag, None if there is none."""
        row = next((row for row in link.rows(self.path, name=name) if row["name"] == name), None)
        return link.get(self._path(row)) if row else None

    def _require(self, link: ApiClient, name: str) -> ApiAnswer:
        present = self._find(link, name)
        if present is None:
            raise Trouble(f"there is no {self.noun} {name}: `list` shows those that there are")
        return present

    def _path(self, row: Mapping[str, Any]) -> str:
        return f"{self.path}{row['id']}/"

    def _wanted(self, typed: Namespace, before: Row) -> dict[str, Any]:
        """Returns the fields to send. Options are merged into the present ones; null ends one."""
        wanted = typed_fields(typed, self.fields)
        if "options" in wanted:
            merged = before.get("options", {}) | dict(wanted["options"])
            wanted["options"] = {name: value for name, value in merged.items() if value is not None}
        return wanted

    def _add(self, link: ApiClient, typed: Namespace) -> Result:
        wanted = self._wanted(typed, {})
        if missing := [name for name in self.needed if name not in wanted]:
            options = ", ".join(f"--{name}" for name in missing)
            raise Misuse(f"{self.noun} {typed.name} is not there yet: to add it, say {options}")
        body = {"name": typed.name, **wanted}
        if typed.dry_run:
            shown = {name: value for name, value in body.items() if name not in _UNSEEN}
            return outcome(self.noun, typed.name, "would be added", shown)
        return outcome(self.noun, typed.name, "added", link.send("POST", self.path, body).body)

    def _change_fields(self, link: ApiClient, typed: Namespace, present: ApiAnswer) -> Result:
        before = _as_sent(present.body)
        wanted = self._wanted(typed, before)
        for field in _STEADY:
            value = wanted.pop(field, None)
            if value is not None and before.get(field) != value:
                raise Trouble(
                    f"the {field} of {self.noun} {typed.name} is {before.get(field)}, and stays: "
                    f"remove it and add it anew with {value}"
                )
        fresh = {n: v for n, v in wanted.items() if n in _UNSEEN or before.get(n) != v}
        if not fresh:
            return outcome(self.noun, typed.name, "unchanged", present.body)
        if typed.dry_run:
            differences = differing(before, fresh)
            return outcome(self.noun, typed.name, "would be changed", present.body, differences)
        after = link.send("PATCH", self._path(present.body), fresh, present.etag).body
        differences = differing({n: before.get(n) for n in fresh}, _as_sent(after))
        differences += [f"{name}: replaced" for name in _UNSEEN if name in fresh]
        did = "changed" if differences else "unchanged"
        return outcome(self.noun, typed.name, did, after, differences)


def _wait_until_idle(link: ApiClient, path: str, name: str, seconds: int) -> None:
    """Return when the engine has had no request for two looks in a row. Raises Trouble.

    A worker may still hand it one that it had taken before it heard of the drain. The second look
    at an idle engine is not cut short: it is free.
    """
    until, quiet = time.monotonic() + seconds, 0
    while quiet < QUIET_LOOKS:
        running = link.get(path).body["running"]
        quiet = quiet + 1 if running == 0 else 0
        if running != 0 and time.monotonic() > until:
            has = "an unknown number of requests" if running is None else f"{running} requests"
            raise Trouble(f"engine {name} drains, with {has} after {seconds} s")
        if quiet < QUIET_LOOKS:
            time.sleep(LOOK_EVERY_S)


def _as_sent(row: Row) -> Row:
    """Returns a row as it would be sent: slots that follow the engine are the word `auto`."""
    return {**row, "slots": AUTO} if row.get("auto_slots") else row


# Models ----------------------------------------------------------------------------------------
def models(arguments: Sequence[str]) -> int:
    columns: Columns = {
        "NAME": "name",
        "POOLS": "pools",
        "ONLY FOR": "only_for",
        "FROM FILE": "from_file",
    }
    removal = "with its pools and engines; fine where there is none"
    program = ResourceKind("model", columns, ("only_for",), removal=removal).program(_model_options)
    versions.add_commands(program)
    return program.main(arguments)


def _model_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--only-for", metavar="TENANT", help="the tenant that alone may use it; else all may"
    )


# Pools -----------------------------------------------------------------------------------------
POOL = ResourceKind(
    noun="pool",
    columns={
        "NAME": "name",
        "MODEL": "model",
        "POSITION": "position",
        "CONDITION": "condition",
        "ENGINES": "engines",
        "FROM FILE": "from_file",
    },
    fields=("model", "position", "condition", "overflow_after_ms", "limits", "window", "lending"),
    needed=("model",),
    removal="and its engines; fine where there is none",
)


def pools(arguments: Sequence[str]) -> int:
    return POOL.program(_pool_options).main(arguments)


def _pool_options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="the model that it serves")
    parser.add_argument("--position", type=int, help="when it is tried: the lowest first")
    parser.add_argument("--condition", help="always, overflow or failover")
    parser.add_argument(
        "--overflow-after-ms", type=int, metavar="MS", help="the wait from which on it overflows"
    )
    parser.add_argument("--limits", type=json_object, metavar="JSON", help="or @FILE")
    parser.add_argument("--window", type=json_object, metavar="JSON", help="or @FILE")
    parser.add_argument("--lending", type=json_object, metavar="JSON", help="or @FILE")


# Engines ---------------------------------------------------------------------------------------
ENGINE = ResourceKind(
    noun="engine",
    columns={
        "NAME": "name",
        "MODEL": "model",
        "POOL": "pool",
        "KIND": "kind",
        "STATE": "state",
        "SLOTS": lambda row: f"{row['slots']}{' (auto)' if row['auto_slots'] else ''}",
        "HOSTED": "hosted",
        "FROM FILE": "from_file",
        "URL": "url",
    },
    fields=("pool", "kind", "url", "slots", "hosted", "options", "api_key"),
    needed=("pool", "kind"),
    removal="finishes what it has begun; fine where there is none",
)


def engines(arguments: Sequence[str]) -> int:
    program = ENGINE.program(_engine_options)
    draining = program.acts("drain", ENGINE.drain, "takes no new requests")
    draining.add_argument("name")
    draining.add_argument(
        "--wait", type=int, metavar="SECONDS", help="until it has finished what it had"
    )
    program.acts("resume", ENGINE.resume, "takes requests again").add_argument("name")
    return program.main(arguments)


def _engine_options(parser: ArgumentParser) -> None:
    parser.add_argument("--pool", metavar="NAME", help="the pool that it is in")
    parser.add_argument("--kind", help="such as vllm, sglang, llama_cpp")
    parser.add_argument("--url", help="such as http://gpu-1:8000/v1")
    parser.add_argument("--slots", type=number_or(AUTO), help=f"answers at once, or {AUTO}")
    parser.add_argument("--hosted", action=BooleanOptionalAction, help="somebody else's machine")
    parser.add_argument(
        "--option",
        dest="options",
        type=_option,
        action="append",
        metavar="NAME=VALUE",
        help="as in FOREBAY_ENGINES, repeatable; VALUE is JSON or a text, null takes it out",
    )
    parser.add_argument(
        "--api-key-file",
        dest="api_key",
        type=_text_of,
        metavar="FILE",
        help="with the key of the server; - for standard input",
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError("it is written NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _text_of(file: str) -> str:
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text()).strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ArgumentTypeError(str(problem)) from None
