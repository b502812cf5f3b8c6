"""What a request sets aside is never less than what it can cost."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api import limit_headers
from inference.engines.base import Engine, EngineConfig
from inference.engines.capabilities import MEDIA
from inference.engines.choices import Several
from inference.engines.prompt_bound import Template
from inference.intake.limits import cost_bound
from inference.stream.frames import Frame, Kind, upstream
from inference.validation.schemas import Body
from tenants.caller import Caller, QuotaRef
from tenants.quotas.charge import FREE, Charge, Prices
from tenants.quotas.ledger_answer import QuotaRest, Verdict
from tests.inference.orders import an_order
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit
CONTEXT = 1000
ENGINE = Engine(EngineConfig("mock", "openai", "http://127.0.0.1:9", "m", context_length=CONTEXT))
TEMPLATE = Template().base
prices = st.floats(0, 50)


def charge(
    body: bytes,
    max_tokens: int | None,
    prices: Prices = FREE,
    elsewhere: Mapping[str, Prices] = {},
) -> Charge:
    asked: dict[str, Any] = {"body": body, "chat": True, "max_tokens": max_tokens}
    return cost_bound.charge(caller(), ENGINE, prices, elsewhere=elsewhere, **asked)


@pytest.mark.parametrize("prices", [FREE, Prices(1, 1, 2), Prices(9, 9, 1)])
def test_several_answers_are_set_aside(prices: Prices) -> None:
    """Together they read the prompt once, apart each of them reads it."""
    body = orjson.dumps({"prompt": ["a" * 50, "b" * 50]})
    one = cost_bound.charge(caller(), ENGINE, prices, body=body, chat=False, max_tokens=10)
    together, apart = (
        cost_bound.charge(
            caller(),
            ENGINE,
            prices,
            body=body,
            chat=False,
            max_tokens=10,
            several=Several(2, 4, reads),
        )
        for reads in (1, 4)
    )
    assert one.completion_tokens == 10
    assert (together.prompt_tokens, together.completion_tokens) == (one.prompt_tokens, 80)
    assert (apart.prompt_tokens, apart.completion_tokens) == (4 * one.prompt_tokens, 80)


def test_without_a_limit_each_answer_may_fill_the_context() -> None:
    body = orjson.dumps({"messages": []})
    free = cost_bound.charge(
        caller(), ENGINE, FREE, body=body, chat=True, max_tokens=None, several=Several(1, 8, 1)
    )
    assert (free.prompt_tokens, free.completion_tokens) == (0, 8 * CONTEXT)
    dear = Prices(100, 100, 1)
    aside = cost_bound.charge(
        caller(), ENGINE, dear, body=body, chat=True, max_tokens=None, several=Several(1, 8, 1)
    )
    assert aside.completion_tokens == 8 * (CONTEXT - aside.prompt_tokens)


def test_a_key_is_charged_to_its_maker_too() -> None:
    who = replace(caller(), maker_id=uuid4())
    charged = cost_bound.charge(who, ENGINE, FREE, body=b"x", chat=True, max_tokens=1)
    assert (charged.member_id, charged.api_key_id) == (who.maker_id, who.api_key_id)


@given(
    st.text(max_size=800),
    st.none() | st.integers(1, CONTEXT),
    st.builds(Prices, prices, prices, prices),
    st.data(),
)
def test_no_answer_costs_more_than_was_set_aside(
    text: str, max_tokens: int | None, prices: Prices, data: st.DataObject
) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": text}]})
    aside = charge(body, max_tokens, prices)
    longest = len(text.encode()) + TEMPLATE  # every byte a token of its own
    prompt = data.draw(st.integers(1, min(longest, CONTEXT)))
    answer = data.draw(st.integers(0, min(max_tokens or CONTEXT, CONTEXT - prompt)))
    cached = data.draw(st.integers(0, prompt))
    assert prompt + answer <= aside.tokens <= CONTEXT
    assert aside.cost(prompt, cached, answer) <= aside.most


@given(
    st.integers(1, CONTEXT),
    st.integers(1, CONTEXT),
    st.lists(st.builds(Prices, prices, prices, prices), min_size=3, max_size=3),
    st.data(),
)
def test_nor_in_another_pool_that_it_may_reach(
    longest: int, max_tokens: int, held: list[Prices], data: st.DataObject
) -> None:
    at = dict(zip(("here", "near", "there"), held, strict=True))
    aside = charge(b"x" * longest, max_tokens, at["here"], at)
    prompt = data.draw(st.integers(1, min(longest + TEMPLATE, CONTEXT)))
    answer = data.draw(st.integers(0, min(max_tokens, CONTEXT - prompt)))
    cached = data.draw(st.integers(0, prompt))
    for pool, prices in at.items():
        cost = aside.cost(prompt, cached, answer, pool)
        assert cost == prices.cost(prompt, cached, answer)
        assert cost <= aside.most
    assert aside.cost(prompt, cached, answer, "later") == at["here"].cost(prompt, cached, answer)
    assert aside.most <= max(charge(b"x" * longest, max_tokens, one).most for one in held)


def test_an_open_answer_sets_the_rest_of_the_context_aside() -> None:
    assert charge(b"x" * 36, None).tokens == CONTEXT
    assert charge(b"x" * 36, 10).tokens == 36 + TEMPLATE + 10
    assert charge(b"x" * 10_000, 10).tokens == CONTEXT


@pytest.mark.parametrize("kind", MEDIA)
def test_an_image_may_fill_the_context(kind: str) -> None:
    def asked(*parts: dict[str, str]) -> bytes:
        return orjson.dumps({"messages": [{"role": "user", "content": parts}]})

    image = {"type": kind, kind: "https://x.example/a.png"}
    assert charge(asked(image), 10).tokens == CONTEXT
    assert charge(asked(image), 10, Prices(9, 9, 1)).prompt_tokens == CONTEXT
    quoted = asked({"type": "text", "text": orjson.dumps(image).decode()})
    assert charge(quoted, 10).tokens == len(quoted) + TEMPLATE + 10


@pytest.mark.parametrize(
    ("unit", "model", "bound"),
    [("tokens", "", 500), ("cost", "mock", 500), ("tokens", "large", None), ("requests", "", None)],
)
def test_under_a_budget_an_answer_has_an_end(unit: str, model: str, bound: int | None) -> None:
    quota = QuotaRef(caller().tenant_id, unit, "day", model)
    counted = Caller(tenant_id=quota.id, tenant="t", actor="a", subject_id=quota.id, weight=1,
                     limits=caller().limits, quotas=(quota,))  # fmt: skip
    body: Body = {"messages": []}
    cost_bound.bound_answer(body, counted, ENGINE)
    assert body.get("max_tokens") == bound
    own: Body = {"messages": [], "max_completion_tokens": 7}
    cost_bound.bound_answer(own, counted, ENGINE)
    assert "max_tokens" not in own


def left(unit: str, remaining: int) -> QuotaRest:
    from datetime import UTC, datetime

    return QuotaRest(unit, 1000, remaining, datetime(2026, 12, 1, tzinfo=UTC))


def test_headers_tell_of_the_quota_that_leaves_least() -> None:
    verdict = Verdict((left("tokens", 300), left("tokens", 200), left("requests", 4)))
    assert dict(limit_headers.quota_headers(verdict)) == {
        b"x-quota-limit-tokens": b"1000",
        b"x-quota-remaining-tokens": b"200",
        b"x-quota-reset-tokens": b"2026-12-01T00:00:00Z",
        b"x-quota-limit-requests": b"1000",
        b"x-quota-remaining-requests": b"4",
        b"x-quota-reset-requests": b"2026-12-01T00:00:00Z",
    }
    assert limit_headers.quota_headers(Verdict()) == []


def test_a_whole_answers_headers_tell_what_is_left_after_it() -> None:
    aside = Charge(
        prompt_tokens=100,
        completion_tokens=50,
        prompt_price=2,
        completion_price=10,
        elsewhere={"there/1": Prices(4, 4, 12)},
        most_elsewhere=1000,
    )
    order = an_order(charge=aside)
    verdict = Verdict((left("tokens", 200), left("cost", 300), left("requests", 4)))
    usage = {"prompt_tokens": 20, "completion_tokens": 5}
    found = dict(limit_headers.quota_headers_after(verdict, order, usage, "here/e/vllm"))
    assert found[b"x-quota-remaining-tokens"] == b"325"  # 200 and the 125 that were not used
    assert found[b"x-quota-remaining-cost"] == b"%d" % (300 + 1000 - 90)
    there = dict(
        limit_headers.quota_headers_after(verdict, order, usage, upstream("there/1", "e", "openai"))
    )
    assert there[b"x-quota-remaining-cost"] == b"%d" % (300 + 1000 - 140)
    assert found[b"x-quota-remaining-requests"] == b"4"
    unknown = dict(limit_headers.quota_headers_after(verdict, order, None, ""))
    assert unknown[b"x-quota-remaining-tokens"] == b"200"


def test_only_an_answer_has_usage() -> None:
    body = b'{"usage":{"prompt_tokens":1}}'
    assert limit_headers.usage_in(Frame(b"", 1, 1, Kind.BODY, body)) == {"prompt_tokens": 1}
    assert limit_headers.usage_in(Frame(b"", 1, 1, Kind.ERROR, body)) is None
