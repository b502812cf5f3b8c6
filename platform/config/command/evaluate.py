"""`forebay evaluate`: a model by a file of tasks, with a key of a tenant.

FOREBAY_API_KEY  the key, or FOREBAY_API_KEY_FILE; with the scopes inference, management:read and
                 management:write
"""

import json
import os
import re
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from config import configuration
from config.command.operating.api_client import OF_TENANT as KEY
from config.command.operating.api_client import ApiClient, Misuse, Row, Trouble
from config.command.operating.program import print_visibly

LOOK_EVERY_S = 2.0
KINDS = ("perplexity", "choices", "exact", "agreement")
_OPTIONS = ("separator", "max_tokens", "match", "window", "test_percent")


def evaluate(arguments: Sequence[str]) -> int:
    typed = _parser().parse_args(arguments)
    try:
        configuration.apply(os.environ)
        link = ApiClient(os.environ, in_clear=typed.plain_http, key_name=KEY)
        row = _evaluated(link, typed)
    except (Trouble, ValueError) as problem:
        print(f"forebay evaluate: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, Misuse | ValueError) else 1
    if typed.json:
        print(json.dumps(row["report"] or row, indent=2, ensure_ascii=False))
    else:
        print_visibly("\n".join(_lines(row)))
    return 0 if row["state"] in ("succeeded", "queued", "running") else 1


def _parser() -> ArgumentParser:
    text = "Evaluate a model of a running platform by a file of tasks."
    parser = ArgumentParser("forebay evaluate", description=text)
    parser.add_argument("model")
    parser.add_argument("--tasks", type=Path, required=True, metavar="FILE", help="JSONL")
    parser.add_argument("--kind", choices=KINDS, help="default: as the first line looks")
    parser.add_argument("--name", help="of the task set; default: the file's")
    parser.add_argument("--against", default="", metavar="MODEL", help="a model beside it")
    parser.add_argument("--separator", help="between a prompt and its choices; default: a space")
    parser.add_argument("--max-tokens", type=int, help="of an answer")
    parser.add_argument("--match", choices=("relaxed", "exact"), help="how answers are compared")
    parser.add_argument("--window", type=int, help="tokens of a text that are read together")
    parser.add_argument("--test-percent", type=int, help="the part of the items that is asked")
    parser.add_argument("--no-wait", action="store_true", help="begin it, and return")
    parser.add_argument("--json", action="store_true", help="the report, for programs")
    parser.add_argument(
        "--plain-http", action="store_true", help="send the key without TLS, where it is safe"
    )
    return parser


def _evaluated(link: ApiClient, typed: Namespace) -> Row:
    base = f"tenants/{_tenant(link)}/"
    task_set = link.send("POST", f"{base}task-sets/", _task_set(typed)).body
    body = {"task_set": task_set["id"], "model": typed.model}
    body |= {"against": typed.against} if typed.against else {}
    row: Row = link.send("POST", f"{base}evaluations/", body).body
    while not typed.no_wait and row["state"] in ("queued", "running"):
        time.sleep(LOOK_EVERY_S)
        row = link.get(f"{base}evaluations/{row['id']}/").body
    return row


def _tenant(link: ApiClient) -> str:
    places = link.get("me/").body["tenants"]
    if not places:
        raise Trouble(f"{KEY} is no key of a tenant")
    return str(places[0]["tenant"])


def _task_set(typed: Namespace) -> Row:
    """Returns the body of the task set. Raises Misuse."""
    try:
        content = typed.tasks.read_bytes().decode()
    except OSError as problem:
        raise Misuse(f"{typed.tasks}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{typed.tasks} is not UTF-8") from None
    name = typed.name or re.sub(r"[^a-z0-9._-]+", "-", typed.tasks.stem.lower()).strip("-._")
    options = {n: v for n in _OPTIONS if (v := getattr(typed, n)) is not None}
    kind = typed.kind or _kind_of(content)
    return {"name": name or "tasks", "kind": kind, "content": content, "options": options}


def _kind_of(content: str) -> str:
    """Returns the kind that the first line looks like. Raises Misuse."""
    try:
        fields: Any = json.loads(content.lstrip("\ufeff").lstrip().partition("\n")[0])
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Misuse("the first line of the tasks is no JSON object")
    if "text" in fields:
        return "perplexity"
    if "choices" in fields:
        return "choices"
    return "exact" if "answer" in fields else "agreement"


def _lines(row: Row) -> Iterator[str]:
    names = f"{row['task_set_name']}@{row['task_set_version']}"
    yield f"{row['model']} by {names}: {row['state']} {row['error_code']}".rstrip()
    yield f"evaluation {row['id']}, tasks {row['sha256'][:12]}"
    for figure in (row["report"] or {}).get("figures", []):
        yield _line(figure)
    if same := (row["report"] or {}).get("agreement"):
        yield f"  the same answers: {same['value']:.4g} ({same['low']:.4g} to {same['high']:.4g})"


def _line(figure: Row) -> str:
    value, against, difference = figure["candidate"], figure["against"], figure["difference"]
    text = f"  {figure['name']}: {value['value']:.4g} ({value['low']:.4g} to {value['high']:.4g})"
    if against:
        sign = "%" if difference["relative"] else "points"
        text += f", {against['value']:.4g} against it ({100 * difference['value']:+.2f} {sign})"
    beside = ", ".join(f"{name} {number:.4g}" for name, number in figure["baselines"].items())
    return f"{text}; {beside}" if beside else text
