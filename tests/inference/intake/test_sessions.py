"""Where a request says what session it is of, and what is made of that."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from config import environment
from inference.errors import BadRequest
from inference.intake import sessions
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit
CALLER = caller()
SESSION = "8a1f3c52-6a0e-4b8f-9d1c-0c7f5b1e2d3a"


def named(headers: dict[str, str]) -> str | None:
    return sessions.named_in(lambda name: headers.get(name))


def of(body: dict[str, Any] | None = None, name: str | None = None) -> UUID | None:
    return sessions.of(CALLER, name, body or {})


@pytest.mark.parametrize(
    "header",
    [
        "x-session-id",
        "x-claude-code-session-id",
        "session_id",  # Codex
        "session-id",
        "x-session-affinity",  # OpenCode
        "x-opencode-session",
    ],
)
def test_the_headers_of_agents_name_it(header: str) -> None:
    assert named({header: SESSION}) == SESSION


def test_the_first_header_of_the_list_counts() -> None:
    both = {"x-opencode-session": "one", "x-session-id": "two"}
    assert named(both) == "two"
    assert named({}) is None


@pytest.mark.parametrize("text", ["x" * 257, "é", "a\tb", "a\x00b"])
def test_a_header_that_is_no_name_is_refused_by_its_own(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        named({"x-session-id": text})
    assert refused.value.param == "x-session-id"


@pytest.mark.parametrize(
    "user",
    [
        f"user_{'0f' * 32}_account__session_{SESSION}",
        f"user_{'0f' * 32}_account_{SESSION[::-1]}_session_{SESSION}",
        json.dumps({"device_id": "0f" * 32, "account_uuid": "", "session_id": SESSION}),
    ],
)
def test_the_session_part_of_a_user_id_names_it(user: str) -> None:
    assert of({"user": user}) == of(name=SESSION)


@pytest.mark.parametrize("user", ["alice", "session", "_session_", "x_session_short", None, 7])
def test_a_user_without_one_names_none(user: Any) -> None:
    assert of({"user": user}) is None


def test_a_user_that_is_long_is_not_searched() -> None:
    user = f"user_x_session_{SESSION}"
    assert of({"user": user.rjust(512, "x")}) == of(name=SESSION)
    assert of({"user": user.rjust(513, "x")}) is None


def test_a_header_goes_before_the_body_and_a_cache_key_counts_where_it_is_wanted(
    settings: Settings,
) -> None:
    body = {"user": f"user_x_session_{SESSION}", "prompt_cache_key": "of-a-program"}
    assert of(body, "named") == of(name="named") != of(body)
    assert of({"prompt_cache_key": "of-a-program"}) is None
    settings.SESSION_FIELDS = ("prompt_cache_key",)
    assert of(body) == of(name="of-a-program")


def test_each_person_of_each_tenant_has_their_own(settings: Settings) -> None:
    others = [replace(CALLER, tenant_id=uuid4()), replace(CALLER, subject_id=uuid4())]
    ids = {sessions.of(each, SESSION, {}) for each in (CALLER, *others)}
    assert len(ids) == 3
    same_person = replace(CALLER, api_key_id=uuid4(), actor="key:another")
    assert sessions.of(same_person, SESSION, {}) in ids  # with a rotated key
    settings.API_KEY_PEPPER = b"of another installation"
    assert of(name=SESSION) not in ids


def test_the_names_are_the_operators_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_SESSION_NAMES", "X-Task, prompt_cache_key")
    assert environment.session_names() == (("x-task",), ("prompt_cache_key",))
    monkeypatch.setenv("FOREBAY_SESSION_NAMES", "")
    assert environment.session_names() == ((), ())
