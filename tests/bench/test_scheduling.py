"""The tables and aims of fair shares, dispatch, preemption and utilisation."""

import asyncio

import pytest

from bench import counting, dispatch, fairness, preemption, utilisation
from bench.aims import of_counting, of_dispatch, of_fairness, of_preemption, of_utilisation
from bench.counting import CountingReport, CountingSlice
from bench.day_load import SWING, arrivals, height
from bench.dispatch import DispatchReport, DispatchSlice
from bench.fairness import FairnessReport, Shared, Waited
from bench.load import Load, Options
from bench.mock_engine import Behaviour, Engine, EngineProtocol
from bench.pops import PopReport
from bench.preemption import LLAMA_CPP, MOCK, PreemptionReport, PreemptionRow
from bench.svg_plot import document
from bench.utilisation import PARTS, Replay, UtilisationReport, UtilisationRow

pytestmark = pytest.mark.unit


def shared(weights: str, weight: int, modest: float, busy: float) -> Shared:
    return Shared(weights, weight, modest, busy, 0, 100)


def fair(**changes: float) -> FairnessReport:
    figures = {"even": 100.0, "vip": 80.0, "beside": 20.0, "pop": 0.3} | changes
    return FairnessReport(
        1,
        60.0,
        [shared("1:1", 1, 100.0, figures["even"]), shared("1:4", 4, 20.0, figures["vip"])],
        [Waited(10.0, 20.0, 12.0, figures["beside"], 0, 500)],
        PopReport(1000, 0.1, figures["pop"], 0.05),
    )


def test_fair_shares() -> None:
    said = fairness.section(fair(even=104.0))
    assert "| 1:1 | 1:10 | 100 and 104 | 1.040 | 0 of 100 |" in said
    assert "| 1:4 | 1:10 | 20.0 and 80.0 | 1.000 | 0 of 100 |" in said
    assert all(aim.met for aim in of_fairness(fair()))


@pytest.mark.parametrize(
    ("missed", "figure"), [("even", 94.0), ("vip", 90.0), ("beside", 31.0), ("pop", 1.2)]
)
def test_each_of_its_aims_can_be_missed(missed: str, figure: float) -> None:
    assert [aim.met for aim in of_fairness(fair(**{missed: figure}))].count(False) == 1


def test_dispatch_is_the_median_of_its_rounds() -> None:
    slices = [DispatchSlice(p50, p50 * 3, 1000, 0) for p50 in (3.0, 4.0, 9.0)]
    report = DispatchReport(3, 5.0, [DispatchSlice(0.1, 0.2, 1000, 0)], slices)
    assert "| through Forebay | 4.00 | 12.0 | 3,000 | 0 |" in dispatch.section(report)
    assert [aim.met for aim in of_dispatch(report)] == [True, True]
    assert report.added("p50_ms") == pytest.approx(3.9)


def counted(*costs: float) -> CountingReport:
    def sliced(ms: float) -> CountingSlice:
        return CountingSlice({"web": ms / 2, "worker": ms / 2}, 100, 0)

    off = [2.0 + n for n in range(len(costs))]  # other work makes rounds slower, and both alike
    on = [ms * cost for ms, cost in zip(off, costs, strict=True)]
    return CountingReport(len(costs), 4.0, [sliced(ms) for ms in on], [sliced(ms) for ms in off])


def test_what_metrics_cost_is_the_median_of_the_rounds_own_ratios() -> None:
    report = counted(1.01, 1.5, 0.99)
    assert report.cost == pytest.approx(1.0)
    assert "| without metrics | 1.50 | 1.50 | 3.00 | 300 | 0 |" in counting.section(report)
    assert "1.00 % more with metrics" in counting.section(report)
    assert [aim.met for aim in of_counting(report)] == [True]
    assert [aim.met for aim in of_counting(counted(1.03, 1.03, 1.0))] == [False]


def test_preemption_wants_every_answer_whole() -> None:
    rows = [PreemptionRow(name, 5.0, 20.0, 40.0, 24, 24, 0, 60) for name in (MOCK, LLAMA_CPP)]
    rows[1].bad, rows[1].wrong = 1, ["no [DONE]"]
    said = preemption.section(PreemptionReport(1, 12.0, rows))
    assert "| mock engine | 5.00 | 20.0 | 40.0 | 24 | 24 | 0 of 60 |" in said
    assert "* llama.cpp: `no [DONE]`" in said
    assert [aim.met for aim in of_preemption(PreemptionReport(1, 12.0, rows))] == [True, False]


def test_utilisation_has_its_days_side_by_side() -> None:
    row = UtilisationRow(
        MOCK,
        [Replay(0.45, 10.0, 30.0, 300, 0, 0.0, [0.45] * PARTS)],
        [Replay(0.91, 11.0, 32.0, 300, 0, 200.0, [0.91] * PARTS)],
    )
    report = UtilisationReport(1, 60.0, [row])
    assert "| mock engine | alone | 45.0% | 10.0 | 30.0 |" in utilisation.section(report)
    assert "| mock engine | beside batch | 91.0% | 11.0 | 32.0 | 1.07 | 200 |" in (
        utilisation.section(report)
    )
    assert [aim.met for aim in of_utilisation(report)] == [True, True]
    assert "24 hours" in document(utilisation.charts(report), "")


def a_day(rate: float) -> Options:
    return Options("http://127.0.0.1/v1", "k", "m", stream=True, rate=rate, seconds=100, warmup=0)


def test_a_day_has_its_mean_and_its_noon() -> None:
    found = list(arrivals(a_day(20.0), 4))
    assert found == list(arrivals(a_day(20.0), 4))
    assert len(found) == pytest.approx(2000, rel=0.1)
    assert {tenant for _, tenant in found} == {0, 1, 2, 3}
    by_day = sum(25 <= at < 75 for at, _ in found)
    assert by_day > 0.6 * len(found)
    assert height(0.5, 1) == 1 + SWING


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
