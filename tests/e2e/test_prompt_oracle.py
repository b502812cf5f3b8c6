"""Against the real llama.cpp: a tenant cannot find out another's prompt by guessing its words."""

import json
import time

import httpx
import pytest

from tests.e2e.ask import client
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e
SECRET = " ".join(
    f"Account {n} of Dora holds {n * 37} crowns and {n * 11} shares." for n in range(12)
)
WRONG = SECRET.replace("Account", "Invoice").replace("Dora", "Ivan")


def asked(platform: Platform, key: str, text: str) -> tuple[httpx.Response, float]:
    body = {
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 1,
        "temperature": 0,
    }
    with client(platform, key) as asking:
        began = time.perf_counter()
        answer = asking.post("/v1/chat/completions", json=body)
        took = time.perf_counter() - began
    assert answer.status_code == 200
    return answer, took


def cached(answer: httpx.Response) -> int:
    found = answer.json()
    told = found["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert told == found["timings"]["cache_n"]
    return int(told)


def quick_repetition(real: Platform) -> float:
    """Of the owner, in seconds: their own cache works, so there is something to find.

    Not from the first moment: the worker must know that it is the engine's only user.
    """
    until = time.monotonic() + 30
    while time.monotonic() < until:
        repeated, quick = asked(real, real.key, SECRET)
        if cached(repeated) > 200:
            return quick
    pytest.fail("no prompt is ever served from its own tenant's cache")


@pytest.mark.soak
def test_a_guess_at_anothers_prompt_tells_nothing_by_figure_or_time(real: Platform) -> None:
    real.manage("create_tenant", "guesser", "--json")
    made = json.loads(real.manage("create_api_key", "guesser", "--name", "g", "--json"))
    guesser = made["api_key"]
    quick = quick_repetition(real)
    right, right_s = asked(real, guesser, SECRET)
    wrong, wrong_s = asked(real, guesser, WRONG)
    assert cached(right) == 0
    assert cached(wrong) < 60  # what the guesser's own two prompts have in common
    assert right_s > 3 * quick
    assert right_s > wrong_s / 3


@pytest.mark.soak
def test_nor_when_every_slot_has_been_used_by_somebody_else(real: Platform) -> None:
    made = json.loads(real.manage("create_api_key", "bench", "--name", "other", "--json"))
    real.manage("create_tenant", "patient", "--json")
    patient = json.loads(real.manage("create_api_key", "patient", "--name", "p", "--json"))
    for n in range(17):  # more than there are slots
        asked(real, made["api_key"], f"Note {n}: the code word of the day is heron number {n}.")
    for n in range(17):
        guess = f"Note {n}: the code word of the day is heron number {n}."
        answer, _ = asked(real, patient["api_key"], guess)
        assert cached(answer) < 45  # the template's own words, after the first
        if n == 0:
            assert cached(answer) == 0
