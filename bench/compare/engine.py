"""The embedded llama.cpp with a real model: asked directly, and through Forebay."""

import json

from bench.compare.comparison import Load, Row, compare, measure_slice
from bench.servers.forebay import Forebay, forebay_on
from bench.servers.targets import Target
from inference.engine_entries import entries

ONE, MANY = "1 stream", "16 streams"
LOADS = [
    Load(name, stream=True, concurrency=streams, warmup=1.0, grace=60.0, tokens=None)
    for name, streams in ((ONE, 1), (MANY, 16))
]


def measure(rounds: int, seconds: float) -> list[Row]:
    with forebay_on(None) as forebay:
        direct = direct_target(forebay)
        targets = [direct, forebay.target(direct.model)]
        for target in targets:
            measure_slice(target, LOADS[-1], 2.0)
        return [row for load in LOADS for row in compare(None, targets, rounds, seconds, [load])]


def direct_target(forebay: Forebay) -> Target:
    """The engine behind the running platform, as the supervisor describes it."""
    first, *_ = entries(json.loads(forebay.running()["FOREBAY_ENGINES"]))
    url = first.fields["url"].rstrip("/").removesuffix("/v1") + "/v1"
    return Target("direct", url, first.fields.get("api_key") or "none", first.model)
