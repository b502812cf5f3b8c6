"""Tables and aims of fair shares, dispatch and preemption; stamped requests."""

import asyncio

import pytest

from bench.compare.comparison import summary
from bench.load.generator import Load, LoadReport, Options
from bench.mock_engine.server import Behaviour, Engine, EngineProtocol
from bench.parts.queue import dispatch, fairness, preemption
from bench.parts.queue.dispatch import DIRECT, THROUGH, DispatchReport
from bench.parts.queue.fairness import FairnessReport, Shared, Waited
from bench.parts.queue.preemption import LLAMA_CPP, MOCK, PreemptionReport, PreemptionRow

pytestmark = pytest.mark.unit


def shared(weights: str, weight: int, modest: float, busy: float) -> Shared:
    return Shared(weights, weight, modest, busy, 0, 100)


def fair(**changes: float) -> FairnessReport:
    figures = {"even": 100.0, "vip": 80.0, "beside": 20.0} | changes
    return FairnessReport(
        1,
        60.0,
        [shared("1:1", 1, 100.0, figures["even"]), shared("1:4", 4, 20.0, figures["vip"])],
        [Waited(10.0, 20.0, 12.0, figures["beside"], 0, 500)],
    )


def test_fair_shares() -> None:
    text = fairness.section(fair(even=104.0))
    assert "| 1:1 | 1:10 | 100 and 104 | 1.040 | 0 of 100 |" in text
    assert "| 1:4 | 1:10 | 20.0 and 80.0 | 1.000 | 0 of 100 |" in text
    assert all(aim.met for aim in fairness.aims(fair()))


@pytest.mark.parametrize(("missed", "figure"), [("even", 94.0), ("vip", 90.0), ("beside", 31.0)])
def test_each_of_its_aims_can_be_missed(missed: str, figure: float) -> None:
    assert [aim.met for aim in fairness.aims(fair(**{missed: figure}))].count(False) == 1


def test_dispatch_is_the_median_of_its_rounds() -> None:
    slices = [
        LoadReport(all=1000, engine_p50_ms=p50, engine_p99_ms=p50 * 3) for p50 in (3.0, 4.0, 9.0)
    ]
    rows = [summary("200/s", DIRECT, slices[:1]), summary("200/s", THROUGH, slices)]
    report = DispatchReport(3, 5.0, rows)
    assert "| through Forebay | 4.00 | 12.0 | 3,000 | 0 |" in dispatch.section(report)
    assert [aim.met for aim in dispatch.aims(report)] == [True, True]


def test_preemption_wants_every_answer_whole() -> None:
    rows = [PreemptionRow(name, 5.0, 20.0, 40.0, 24, 24, 0, 60) for name in (MOCK, LLAMA_CPP)]
    rows[1].bad, rows[1].wrong = 1, ["no [DONE]"]
    text = preemption.section(PreemptionReport(1, 12.0, rows))
    assert "| mock engine | 5.00 | 20.0 | 40.0 | 24 | 24 | 0 of 60 |" in text
    assert "* `llama.cpp: no [DONE]`" in text
    assert [aim.met for aim in preemption.aims(PreemptionReport(1, 12.0, rows))] == [True, False]


async def test_a_stamped_request_says_when_it_was_sent() -> None:
    """And its class of work goes into the header."""
    engine = Engine(Behaviour(tokens=2, interval_ms=0, stamped=True), ["mock"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EngineProtocol(engine), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    options = Options(
        url, "k", "mock", stream=False, concurrency=2, requests=6, klass="batch", stamped=True
    )
    load = Load(options)
    try:
        assert b"\r\nx-forebay-class: batch\r\n" in next(load.source)
        report = await load.run()
    finally:
        server.close()
        await asyncio.sleep(0.05)
    assert (report.all, report.bad) == (6, 0)
    assert len(engine.delays) == 6
    assert all(0 <= delay < 60_000 for delay in engine.delays)
