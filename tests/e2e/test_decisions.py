"""Decisions on a running platform: whatever is killed, a transaction is decided once.

FOREBAY_TEST_DECISION_KILLS sets the count of kills; `make soak` takes 100.
"""

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from bench.servers import decisions
from config.environment import PROJECT
from inference.api.grpc.stubs.forebay.v1 import decisions_pb2 as pb
from tests.e2e.ask import client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_faults import kill

KILLS = int(os.environ.get("FOREBAY_TEST_DECISION_KILLS", "2"))
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 + 20 * KILLS)]
PATH, TENANT, CLIENTS = "/v1/decisions", "shop", 6
DEADLINE_MS = 10_000  # on a busy machine
METHOD = "/forebay.v1.DecisionService/Decide"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("deciding-engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 8}
    running = Platform(tmp_path_factory.mktemp("deciding"), {"mock": served}, grpc=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    """A key of a shop, whose policy `payments` decides."""
    text = platform.key_of(TENANT)
    decisions.install(platform, TENANT, "mock", DEADLINE_MS)
    return text


def body(number: int) -> dict[str, Any]:
    payment = {"amount": number, "merchant": f"Shop {number % 7}", "abroad": number % 2 == 0}
    person = f"customer-{number % 40}"
    return {"policy": decisions.POLICY, "person": person, "input": payment}


@pytest.mark.slow(seconds=30)
def test_the_example_decides_as_a_customer_wrote_it(platform: Platform, key: str) -> None:
    env = os.environ | {"FOREBAY_URL": platform.url, "FOREBAY_API_KEY": key}
    command = [sys.executable, str(PROJECT / "docs" / "examples" / "risk_assessment.py")]

    def run() -> str:
        """Run it again after a time-out, as a customer may: the transaction has its key."""
        return subprocess.run(command, env=env, capture_output=True, text=True).stdout

    printed = [eventually(run, 120) for _ in range(2)]
    assert printed[0].split()[0] in ("approve", "review", "block")
    assert printed[0] == printed[1]
    query = "select count(*), min(feedback) from inference_decision where key is not null"
    assert platform.rows(query) == [(1, "negative")]


def _by_the_model(decision: dict[str, Any]) -> dict[str, Any] | None:
    return decision if decision.get("source") == "model" else None


def _answer(call: Any, request: pb.DecideRequest, metadata: list[tuple[str, str]]) -> Any:
    """Returns the decision; None where it could not be put on record in time."""
    try:
        return call(request.SerializeToString(), metadata=metadata, timeout=30)
    except grpc.RpcError as problem:
        assert problem.code() == grpc.StatusCode.UNAVAILABLE, problem
        return None


def test_grpc_decides_by_the_same_policy(platform: Platform, key: str) -> None:
    """Each is asked until the model decides: on a busy machine its deadline may pass before."""
    sent, numbers = body(3), itertools.count()
    with client(platform, key) as asking:
        over_http = eventually(lambda: _by_the_model(asking.post(PATH, json=sent).json()), 120)
    with grpc.insecure_channel(f"127.0.0.1:{platform.grpc_port}") as channel:
        call: Any = channel.unary_unary(METHOD, response_deserializer=pb.Decision.FromString)
        metadata = [("authorization", f"Bearer {key}")]
        text = json.dumps(sent["input"])
        request = pb.DecideRequest(policy=sent["policy"], person=sent["person"], input=text)

        def twice() -> Any:
            once = [*metadata, ("idempotency-key", f"tx-grpc-{next(numbers)}")]
            answers = [_answer(call, request, once) for _ in range(2)]
            return answers if all(each and each.source == "model" for each in answers) else None

        first, again = eventually(twice, 120)
        assert first == again
        assert (first.outcome, first.score) == (over_http["outcome"], over_http["score"])
        wrong = pb.DecideRequest(policy=sent["policy"], person="p", input='{"amount": NaN}')
        with pytest.raises(grpc.RpcError) as refused:
            call(wrong.SerializeToString(), metadata=metadata, timeout=30)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "input.amount" in str(refused.value.details())


async def pay(
    platform: Platform, key: str, numbers: Iterator[int], over: asyncio.Event
) -> list[Any]:
    """One shop, without pause until it is over: each payment until it is decided."""
    decided = list[Any]()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as asking:
        while not over.is_set():
            number = next(numbers)
            once = {"Idempotency-Key": f"payment-{number}"}
            while True:
                try:
                    answer = await asking.post(PATH, json=body(number), headers=once)
                    if answer.is_success:
                        decided.append((number, answer.json()))
                        break
                    assert answer.status_code in (409, 503), answer.text
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.3)
    return decided


@pytest.mark.slow(seconds=60)
def test_a_payment_is_decided_once_whatever_is_killed(
    platform: Platform, engine: Mock, key: str
) -> None:
    engine.behave(tokens=1, delay_ms=60)  # time to be killed between answer and record
    decided = asyncio.run(_under_attack(platform, key))
    rows = platform.rows(
        """select d.id, d.outcome, d.source, e.n from inference_decision d
           left join lateral (select count(*) n from audit_event e
                              where e.request_id = d.id and e.action = 'decision:make') e on true
           where d.key is not null"""
    )
    on_record = {f"dec_{pk.hex}": (outcome, source) for pk, outcome, source, _events in rows}
    assert {events for *_, events in rows} == {1}
    for _number, decision in decided:  # what a client was told is what is on record
        assert on_record[decision["id"]] == (decision["outcome"], decision["source"])
    ids = {decision["id"] for _number, decision in decided}
    assert len(ids) == len(decided)
    assert len(decided) > KILLS * CLIENTS


async def _under_attack(platform: Platform, key: str) -> list[Any]:
    numbers, over = itertools.count(100), asyncio.Event()
    crowd = [asyncio.create_task(pay(platform, key, numbers, over)) for _ in range(CLIENTS)]
    try:
        await asyncio.to_thread(_hurt, platform)
    finally:
        over.set()
    return [each for decided in await asyncio.gather(*crowd) for each in decided]


def _hurt(platform: Platform) -> None:
    """Kill web and worker in turns, each once decisions are made again."""
    for number in range(KILLS):
        before = _count(platform)
        eventually(lambda: _count(platform) > before + 2 * CLIENTS, 90)  # noqa: B023
        time.sleep(random.uniform(0.0, 0.3))
        kill(eventually(lambda: platform.pids(("web", "worker")[number % 2]), 30))  # noqa: B023
    before = _count(platform)
    eventually(lambda: _count(platform) > before + CLIENTS, 90)


def _count(platform: Platform) -> int:
    ((count,),) = platform.rows("select count(*) from inference_decision")
    return int(count)
