"""Hashes of prompts: a turn finds the one before, and nobody another tenant's."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from pytest_django.fixtures import Settings

from inference.intake.submission import Arrival, Options, read
from inference.order import OrderAdapter
from inference.queue import prefix_hashes
from inference.validation.requests import Form
from tests.inference.callers import CALLER
from tests.inference.queue.warm_fleet import in_force

pytestmark = pytest.mark.unit
ACME, GLOBEX = UUID(int=1), UUID(int=2)
LONG = "Read this. " * 200


@pytest.fixture(autouse=True)
def two_engines() -> Iterator[None]:
    with in_force("pool", 2, 4):
        yield


def hashes(
    messages: list[Any] | None = None, tenant: UUID = ACME, **changes: Any
) -> tuple[list[str], list[str]]:
    """The own hash and that of an affinity, and those of shorter beginnings."""
    fields: dict[str, Any] = {"klass": "realtime", "affinity": "", "adapter": None} | changes
    body = fields.pop("body", {"messages": messages})
    own, shorter, shared = (prefix_hashes.of(tenant, "pool", body, **fields) or "||").split("|")
    return [*own.split(), *shared.split()], shorter.split()


def said(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": "user" if n % 2 == 0 else "assistant", "content": t} for n, t in enumerate(texts)
    ]


def test_each_turn_begins_with_the_one_before() -> None:
    (first,), _ = hashes(said(LONG))
    (second,), shorter = hashes(said(LONG, "Yes.", "And then?"))
    assert first in shorter
    _, shorter = hashes(said(LONG, "Yes.", "And then?", "Then that.", "Why?"))
    assert shorter.index(second) < shorter.index(first), "the longest is looked up first"


def test_what_stands_before_the_messages_counts() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    plain, tools = ({"messages": said(LONG), **more} for more in ({}, {"tools": [tool]}))
    adapter = OrderAdapter("mine", uuid4(), "mine@1")
    own = [hashes(body=plain)[0], hashes(body=tools)[0], hashes(body=plain, adapter=adapter)[0]]
    assert len({each for (each,) in own}) == 3


def test_an_equal_prompt_of_another_tenant_has_other_hashes() -> None:
    ours, theirs = (hashes(said(LONG, "a", "b"), tenant, affinity="s") for tenant in (ACME, GLOBEX))
    assert not {*ours[0], *ours[1]} & {*theirs[0], *theirs[1]}


def test_an_affinity_has_a_hash_beside_the_prompt_s() -> None:
    (one, shared), _ = hashes(said(LONG), affinity="agent-1")
    (other, same), _ = hashes(said(LONG + "!"), affinity="agent-1")
    assert one != other
    assert shared == same


def test_a_long_text_begins_with_its_powers_of_two() -> None:
    (short,), _ = hashes(body={"prompt": LONG[:1500]})
    (longer,), shorter = hashes(body={"prompt": LONG[:1500] + "x" * 6000})
    assert shorter[-1] == short
    assert longer != short


def test_only_the_last_messages_are_looked_up() -> None:
    texts = [f"{LONG}{n}" for n in range(101)]
    own, shorter = hashes(said(*texts))
    assert (len(own), len(shorter)) == (1, prefix_hashes.MOST)


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": said("Hello!")},
        {"body": {"prompt": "Once"}},
        {"body": {"prompt": LONG}, "klass": "batch"},
    ],
)
def test_short_prompts_and_lower_classes_have_none(changes: dict[str, Any]) -> None:
    assert hashes(**changes) == ([], [])


def test_a_single_engine_needs_none(settings: Settings) -> None:
    with in_force("pool", 1, 4):
        assert hashes(said(LONG)) == ([], [])


def test_it_can_be_switched_off(settings: Settings) -> None:
    settings.WARM_WAIT_MS = 0
    assert hashes(said(LONG)) == ([], [])


def test_a_submission_carries_them() -> None:
    def submitted(messages: list[Any], **options: Any) -> str:
        body = {"model": "pool", "messages": messages}
        arrival = Arrival("/v1/chat/completions")
        length = len(orjson.dumps(body))
        return read(CALLER, body, length, Form.CHAT, arrival, Options(**options)).prefixes

    own, _, shared = submitted(said(LONG), affinity="talk").split("|")
    _, shorter, same = submitted(said(LONG, "Yes.", "And then?"), affinity="talk").split("|")
    assert own in shorter.split()
    assert shared == same != ""
    assert submitted(said(LONG), requested_class="batch") == ""
    *_, session = submitted(said(LONG), session="agent-1").split("|")
    *_, again = submitted(said(LONG, "Yes.", "Go on."), session="agent-1").split("|")
    assert session == again != shared
