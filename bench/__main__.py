"""python -m bench [--quick] [--only mock|engine|…|audit-search] [--no-litellm] [--no-router] …"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    audit_search,
    audit_verify,
    compare,
    engine,
    idle,
    machine,
    markdown,
    memory,
    report,
)
from bench.admission import AdmissionReport
from bench.apart import measured_apart
from bench.audit import AuditReport
from bench.audit_search import SearchReport
from bench.audit_verify import VerifyReport
from bench.batching import BatchingReport
from bench.big_bodies import BodiesReport
from bench.cache_trace import CacheReport
from bench.children import REPOSITORY
from bench.counting import CountingReport
from bench.dispatch import DispatchReport
from bench.fairness import FairnessReport
from bench.grpc_unary import GrpcReport
from bench.memory import MemoryReport
from bench.mock_targets import mock_targets
from bench.new_versions import LoadsReport
from bench.preemption import PreemptionReport
from bench.results import Results
from bench.scaling import ScalingReport
from bench.usage import FULL, UsageReport
from bench.utilisation import UtilisationReport

APART = (
    "batching",
    "memory",
    "bodies",
    "admission",
    "grpc",
    "scaling",
    "cache",
    "usage",
    "audit",
    "audit-verify",
    "audit-search",
    "load",
    "fairness",
    "dispatch",
    "preemption",
    "utilisation",
    "metrics",
)
PARTS = ("mock", "engine", *APART)
FEW = 500_000  # rows of a quick run
FEW_VERIFIED = 100_000


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="short slices, for a first look")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given twice")
    parser.add_argument("--no-litellm", action="store_true")
    parser.add_argument("--no-router", action="store_true", help="without vllm-router")
    parser.add_argument("--no-forebay", action="store_true", help="the baseline alone")
    parser.add_argument("--rounds", type=int, default=None, help="3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, default=None, help="of a slice: 4, or 2")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    # Else a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    quick: bool = options.quick
    results = Results(
        machine=machine.describe(),
        quick=quick,
        rounds=options.rounds or (1 if quick else 3),
        seconds=options.seconds or (2.0 if quick else 4.0),
    )
    parts: Sequence[str] = options.only or PARTS
    # A short path: a PostgreSQL socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        # PostgreSQL may run as a user of its own, which must be able to come here.
        Path(folder).chmod(0o755)
        if "mock" in parts:
            with_mock(results, Path(folder), options)
        if "engine" in parts and not options.no_forebay:
            real = Path(folder) / "engine"
            real.mkdir()
            seconds = 5.0 if quick else 15.0
            results.engine = engine.measure(real, results.rounds, seconds)
    name = datetime.now(UTC).strftime("%Y-%m-%d") + "-quick" * quick
    name += "".join(f"-{part}" for part in options.only or ())
    paths = report.write(results, name)  # should one of those that follow fail
    if not options.no_forebay:
        apart(results, options, parts)
        paths = report.write(results, name)
    print(markdown.page(results))
    compare.tell("written: " + ", ".join(str(path.relative_to(REPOSITORY)) for path in paths))


def apart(results: Results, options: argparse.Namespace, parts: Sequence[str]) -> None:
    """What has servers of its own."""
    if "batching" in parts:
        rounds, seconds = (1, 5.0) if results.quick else (3, 20.0)
        results.batching = measured_apart(
            "bench.batching",
            BatchingReport,
            rounds=options.rounds or rounds,
            seconds=options.seconds or seconds,
        )
    if "memory" in parts:
        requests, held = (
            (memory.FEW, memory.FEW_HELD) if results.quick else (memory.FULL, memory.HELD)
        )
        results.memory = measured_apart("bench.memory", MemoryReport, requests=requests, held=held)
    if "bodies" in parts:
        results.bodies = measured_apart(
            "bench.big_bodies",
            BodiesReport,
            rounds=options.rounds or results.rounds,
            seconds=options.seconds or results.seconds,
        )
    if "admission" in parts:
        rounds, seconds = (2, 3.0) if results.quick else (5, 6.0)
        results.admission = measured_apart(
            "bench.admission",
            AdmissionReport,
            rounds=options.rounds or rounds,
            seconds=options.seconds or seconds,
        )
    if "grpc" in parts:
        results.grpc = measured_apart(
            "bench.grpc_unary",
            GrpcReport,
            rounds=options.rounds or results.rounds,
            seconds=options.seconds or results.seconds,
        )
    if "scaling" in parts:
        results.scaling = measured_apart(
            "bench.scaling",
            ScalingReport,
            rounds=options.rounds or results.rounds,
            seconds=options.seconds or results.seconds,
        )
    if "cache" in parts:
        requests, prompts = (1_000, 500) if results.quick else (10_000, 5_000)
        results.cache = measured_apart(
            "bench.cache_trace", CacheReport, requests=requests, prompts=prompts
        )
    if "usage" in parts:
        rows = FEW if results.quick else FULL
        results.usage = measured_apart("bench.usage", UsageReport, rows=rows)
    if "audit" in parts:
        rounds, seconds = (1, 3.0) if results.quick else (5, 6.0)
        results.audit = measured_apart(
            "bench.audit",
            AuditReport,
            rounds=options.rounds or rounds,
            seconds=options.seconds or seconds,
        )
    if "audit-verify" in parts:
        events = FEW_VERIFIED if results.quick else audit_verify.FULL
        results.audit_verify = measured_apart("bench.audit_verify", VerifyReport, events=events)
    if "audit-search" in parts:
        rows = FEW if results.quick else audit_search.FULL
        results.audit_search = measured_apart("bench.audit_search", SearchReport, rows=rows)
    if "load" in parts:
        rounds = options.rounds or (1 if results.quick else 5)
        results.loads = measured_apart("bench.new_versions", LoadsReport, rounds=rounds)
    if "metrics" in parts:
        rounds, seconds = (2, 3.0) if results.quick else (8, 4.0)
        results.counting = measured_apart(
            "bench.counting",
            CountingReport,
            rounds=options.rounds or rounds,
            seconds=options.seconds or seconds,
        )
    scheduling(results, options, parts)


def scheduling(results: Results, options: argparse.Namespace, parts: Sequence[str]) -> None:
    """What the queue does for tenants and classes of work."""
    rounds, quick = options.rounds or (1 if results.quick else 3), results.quick
    if "fairness" in parts:
        results.fairness = measured_apart(
            "bench.fairness",
            FairnessReport,
            rounds=options.rounds or 1,
            seconds=options.seconds or (20.0 if quick else 60.0),
        )
    if "dispatch" in parts:
        results.dispatch = measured_apart(
            "bench.dispatch", DispatchReport, rounds=rounds, seconds=options.seconds or 5.0
        )
    if "preemption" in parts:
        results.preemption = measured_apart(
            "bench.preemption",
            PreemptionReport,
            rounds=options.rounds or 1,
            seconds=options.seconds or (5.0 if quick else 12.0),
        )
    if "utilisation" in parts:
        results.utilisation = measured_apart(
            "bench.utilisation",
            UtilisationReport,
            rounds=options.rounds or 1,
            seconds=options.seconds or (15.0 if quick else 60.0),
        )


def with_mock(results: Results, folder: Path, options: argparse.Namespace) -> None:
    others = {"litellm": not options.no_litellm, "router": not options.no_router}
    with mock_targets(folder, **others, forebay=not options.no_forebay) as running:
        results.litellm = running.versions.get("LiteLLM")
        results.router = running.versions.get("vllm-router")
        rounds, seconds = results.rounds, results.seconds
        results.comparison = compare.compare(running.mock, running.targets, rounds, seconds)
        if not options.no_forebay:
            compare.tell("the idle platform")
            results.idle = idle.measure(running.forebay)


if __name__ == "__main__":
    main()
