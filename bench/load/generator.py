"""Load generator, a process of its own; prints one JSON object.

    python -m bench.load --url http://127.0.0.1:8000/v1 --key K --model M --stream \
        --concurrency 16 --seconds 3

Closed loop (`--concurrency`, optionally until `--requests` are done) or constant arrival rate
(`--rate` per second, latency then counts from the scheduled time, so that a stall shows).
"""

import argparse
import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.figures import percentile
from bench.load.client import STALE, LoadClient, Outcome
from bench.load.stamps import TEXT, stamp

PROMPT = (
    "You run the night shift of a dam. Say in a few sentences what you look at first when the "
    "water in the forebay rises, whom you call, and what you write into the log. Report %010d."
)
AT_HAND = 64  # connections before it begins: a server closes those that send nothing for long
LINE = "At dusk the water stood a hand below the mark, and the gates were where we left them.\n"


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds. `url`: up to and with /v1.

    `rate`: requests per second. `requests`: so many in place of `seconds`.
    `spread`: the clients of a closed loop begin one after the other over that time. Answers of
    equal length would otherwise keep all clients in step, a burst that real clients do not make.
    `tokens`: what a right answer has; None leaves its length to the engine.
    `prompt_bytes`: the prompt's length, about; 0 stands for 200. `hang_up`: the share of requests
    whose client does not wait for the end. `ignore_eos`: answers of full length, from an engine
    that knows the field. `klass`: the class of work, sent in a header; "" leaves it to the
    platform. `stamped`: prompts say when they were sent. `keys`: a file with a key in each line,
    which requests take in turns in place of `key`.
    """

    url: str
    key: str
    model: str
    stream: bool
    concurrency: int = 0
    rate: float = 0.0
    seconds: float = 3.0
    warmup: float = 0.5
    spread: float = 0.0
    grace: float = 20.0
    requests: int | None = None
    max_tokens: int = 64
    tokens: int | None = None
    prompt_bytes: int = 0
    hang_up: float = 0.0
    ignore_eos: bool = False
    klass: str = ""
    stamped: bool = False
    keys: str = ""


@dataclass(slots=True)
class LoadReport:
    """Milliseconds, and counts per second of the measured window. `all` counts warm-up too.

    Requests whose client hung up count in `hung_up` alone. `generator_cpu_ms` is what the generator
    itself took of a request. Not for it to know: `cpu_ms` of each request, by the target's roles,
    and how long requests took to reach the engine.
    """

    all: int = 0
    bad: int = 0
    hung_up: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    rps: float = 0.0
    tokens_per_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    ttft_p99_ms: float | None = None
    gap_p99_ms: float | None = None
    engine_p50_ms: float | None = None
    engine_p99_ms: float | None = None
    generator_cpu_ms: float | None = None
    cpu_ms: dict[str, float] = field(default_factory=dict)


def total(reports: Sequence[LoadReport]) -> dict[str, Any]:
    """Returns `all` and `bad` of all together, and each text of their `wrong` once."""
    return {
        "all": sum(report.all for report in reports),
        "bad": sum(report.bad for report in reports),
        "wrong": sorted({text for report in reports for text in report.wrong}),
    }


def chat_body(options: Options) -> dict[str, Any]:
    """Returns the fields that chat completions and messages have alike."""
    body: dict[str, Any] = {
        "model": options.model,
        "messages": [{"role": "user", "content": _prompt(options)}],
        "max_tokens": options.max_tokens,
        "temperature": 0.7,
    }
    return body | ({"stream": True} if options.stream else {})


def chat_requests(options: Options) -> Iterator[bytes]:
    body = chat_body(options)
    if options.ignore_eos:
        body["ignore_eos"] = True
    if options.stream:
        body["stream_options"] = {"include_usage": True}
    return request_bytes(options, "/chat/completions", body)


def request_bytes(options: Options, path: str, body: dict[str, Any]) -> Iterator[bytes]:
    """Yields endless requests of one length, no two alike, so that no cache can answer them."""
    head, _, tail = json.dumps(body).partition("%010d")
    length = len(head) + 10 + len(tail)
    keys = Path(options.keys).read_text().split() if options.keys else [options.key]
    befores = [(_head(options, path, key, length) + head).encode() for key in keys]
    after, first = tail.encode(), int(perf_counter() * 1000) % 1_000_000_000
    for count, before in enumerate(itertools.cycle(befores), first):
        yield before + b"%010d" % (stamp() if options.stamped else count) + after


def _head(options: Options, path: str, key: str, length: int) -> str:
    address = urlsplit(options.url)
    lines = [
        f"POST {address.path}{path} HTTP/1.1",
        f"host: {address.netloc}",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        "accept: text/event-stream" if options.stream else "accept: application/json",
        f"content-length: {length}",
        *([f"x-forebay-class: {options.klass}"] if options.klass else []),
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def _prompt(options: Options) -> str:
    text = prompt(options.prompt_bytes)
    return text.replace("Report %010d", TEXT) if options.stamped else text


def prompt(length: int) -> str:
    """PROMPT behind so many lines that it has about `length` bytes in JSON."""
    lines = (length - len(PROMPT % 0)) // len(json.dumps(LINE)[1:-1])
    return LINE * lines + PROMPT


class Load:
    """Runs one slice of load and keeps every outcome."""

    client: type[LoadClient] = LoadClient
    requests = staticmethod(chat_requests)

    def __init__(self, options: Options) -> None:
        self.options = options
        self.source = self.requests(options)
        self.outcomes: list[Outcome] = []
        self.idle: list[LoadClient] = []
        self.sent = 0
        self.hanging_up = HangingUp(options.hang_up)
        self.running = 0
        self.window = (0.0, 0.0)
        self.open = True
        self.settled = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> LoadClient:
        options, address = self.options, urlsplit(self.options.url)
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: self.client(options.stream, options.tokens, self.on_end),
            address.hostname or "",
            address.port or 80,
        )
        return client

    async def run(self) -> LoadReport:
        options = self.options
        self.idle = [await self.connect() for _ in range(min(options.concurrency or 16, AT_HAND))]
        cpu_before = process_time()
        begin = perf_counter() + options.warmup + options.spread
        self.window = (begin, begin + options.seconds)
        if options.rate:
            await self.constant_rate()
        else:
            await self.closed_loop()
        self.open = False
        await self.drain()
        for client in self.idle:
            client.close()
        result = report(self.outcomes, self.window, options)
        result.generator_cpu_ms = (process_time() - cpu_before) * 1000 / max(len(self.outcomes), 1)
        return result

    async def closed_loop(self) -> None:
        for _ in range(self.options.concurrency):
            self.send_new(perf_counter())
            if self.options.spread:
                await asyncio.sleep(self.options.spread / self.options.concurrency)
        if self.options.requests is None:
            await asyncio.sleep(self.window[1] - perf_counter())
        else:
            await self.settled.wait()
            self.window = (self.window[0], perf_counter())

    async def constant_rate(self) -> None:
        step = 1 / self.options.rate
        due = perf_counter()
        while due < self.window[1]:
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            # The loop's clock has milliseconds and may wake a little early.
            self.send_new(min(due, perf_counter()))
            due += step

    def send_new(self, started: float) -> None:
        self.running += 1
        self.sent += 1
        while self.idle:
            client = self.idle.pop()
            if client.usable():
                self.send(client, started)
                return
        self.connect_and_send(started)

    def send(self, client: LoadClient, started: float) -> None:
        client.send(next(self.source), started)
        if self.hanging_up.next():
            client.hang_up_later()

    def connect_and_send(self, started: float) -> None:
        task = asyncio.ensure_future(self.send_on_new_connection(started))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def send_on_new_connection(self, started: float) -> None:
        try:
            client = await self.connect()
        except OSError as refused:
            wrong = f"no connection: {refused}"
            self.on_end(None, Outcome(started, ended=perf_counter(), wrong=wrong))
        else:
            self.send(client, started)

    def on_end(self, client: LoadClient | None, outcome: Outcome) -> None:
        if outcome.wrong == STALE and not outcome.hung_up:
            # llama.cpp closes after each stream, unannounced; every HTTP client tries again.
            self.connect_and_send(outcome.started)
            return
        self.running -= 1
        self.outcomes.append(outcome)
        if client is not None:
            self.idle.append(client)
        limit = self.options.requests
        if not self.options.rate and self.open and (limit is None or self.sent < limit):
            self.send_new(perf_counter())
        if not self.running:
            self.settled.set()

    async def drain(self) -> None:
        """Wait for requests under way; one that takes longer than the grace is bad."""
        deadline = perf_counter() + self.options.grace
        while self.running and perf_counter() < deadline:
            await asyncio.sleep(0.01)
        late = Outcome(deadline, ended=perf_counter(), wrong="no answer within the grace")
        self.outcomes += [late] * self.running


def report(outcomes: list[Outcome], window: tuple[float, float], options: Options) -> LoadReport:
    waited = [o for o in outcomes if not o.hung_up]
    good = [o for o in waited if not o.wrong]
    wrong = Counter(o.wrong for o in waited if o.wrong)
    seconds = window[1] - window[0]
    shares = [share_inside(o, window) for o in good]
    inside = [o for o, share in zip(good, shares, strict=True) if share]
    if options.rate:
        # A backlog that is only served after the window is no throughput.
        shares = [float(window[0] <= o.ended <= window[1]) for o in good]
    latencies = sorted((o.ended - o.started) * 1000 for o in inside)
    result = LoadReport(
        all=len(waited),
        bad=len(waited) - len(good),
        hung_up=len(outcomes) - len(waited),
        wrong=dict(wrong.most_common(5)),
        rps=sum(shares) / seconds,
        tokens_per_s=sum(s * o.tokens for s, o in zip(shares, good, strict=True)) / seconds,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        max_ms=percentile(latencies, 100),
    )
    if options.stream:
        first = sorted((o.first_token - o.started) * 1000 for o in inside if o.first_token)
        gaps = sorted(gap * 1000 for o in inside for gap in o.gaps)
        result.ttft_p50_ms, result.ttft_p95_ms = percentile(first, 50), percentile(first, 95)
        result.ttft_p99_ms = percentile(first, 99)
        result.gap_p99_ms = percentile(gaps, 99)
    return result


class HangingUp:
    """Chooses clients that do not wait for the end: a share of all, evenly."""

    def __init__(self, share: float) -> None:
        self._share, self._sum = share, 0.0

    def next(self) -> bool:
        self._sum += self._share
        goes = self._sum >= 1
        self._sum -= goes
        return goes


def share_inside(outcome: Outcome, window: tuple[float, float]) -> float:
    """Returns the part, from 0 to 1, of the request's life that fell into the window.

    Counting whole requests would favour whoever happens to end one just before the window does.
    """
    length = outcome.ended - outcome.started
    overlap = min(outcome.ended, window[1]) - max(outcome.started, window[0])
    return max(0.0, overlap) / length if length > 0 else 0.0


def read_options() -> Options:
    """Each field of `Options` is an option of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=Options.__doc__)
    for each in fields(Options):
        option = f"--{each.name.replace('_', '-')}"
        if each.type is bool:
            parser.add_argument(option, action="store_true")
        else:
            kind: Any = int if each.type == int | None else each.type
            needed = each.name in ("url", "model")
            parser.add_argument(option, type=kind, default=each.default, required=needed)
    parser.set_defaults(key="none")
    options = Options(**vars(parser.parse_args()))
    if bool(options.concurrency) == bool(options.rate):
        parser.error("one of --concurrency and --rate is needed")
    return options


def main(load: type[Load] = Load) -> None:
    print(json.dumps(asdict(uvloop.run(load(read_options()).run()))))
