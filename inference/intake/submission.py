"""What a front end has read off its wire: validated, and prepared for the engine."""

from dataclasses import dataclass
from math import inf
from typing import Any

import orjson

from inference.engines.base import Engine
from inference.intake import charging
from inference.validation import requests
from tenants.caller import Caller


@dataclass(frozen=True, slots=True)
class Submission:
    caller: Caller
    engine: Engine
    body: bytes  # for the engine, as the audit trail records it
    chat: bool
    route: str
    stream: bool
    estimate: int  # tokens that it is likely to take
    max_tokens: int | None = None  # of the answer, as the body limits it
    include_usage: bool = False
    outlives_reader: bool = False
    keeps_text: bool = False  # as a message of a chat
    klass: str = "realtime"  # of work: inference/queue/classes.py
    client_ip: str = ""
    address_counted_at: int = 0  # see address_limit.py
    time_limit_s: float = inf  # the client's own deadline, from now on


def read(
    caller: Caller,
    engine: Engine,
    body: dict[str, Any],
    length: int,
    *,
    chat: bool,
    route: str,
    client_ip: str,
    address_counted_at: int,
    time_limit_s: float = inf,
) -> Submission:
    """Of a body in OpenAI's form that `validation` has let through; `length`: its bytes.

    Changes `body` into the engine's.
    """
    options = body.get("stream_options") or {}
    include_usage = bool(options.get("include_usage"))
    estimate = requests.estimate(length, body)
    charging.bound_answer(body, caller, engine)
    prepared = engine.prepare(body, chat=chat)
    return Submission(
        caller=caller,
        engine=engine,
        body=orjson.dumps(prepared),
        chat=chat,
        route=route,
        stream=bool(body.get("stream")),
        estimate=estimate,
        max_tokens=prepared.get("max_tokens"),
        include_usage=include_usage,
        client_ip=client_ip,
        address_counted_at=address_counted_at,
        time_limit_s=time_limit_s,
    )
