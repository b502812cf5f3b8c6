"""What coding agents need, over every front end: aliases of models, and sessions with a budget."""

import json
from uuid import uuid4

import httpx
import pytest

from bench.servers.forebay import UNLIMITED
from tests.e2e.ask import eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.base import FrontEnd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SONNET = "claude-sonnet-4-5"


class Team:
    """A new tenant, its key for requests, and one that manages it."""

    def __init__(self, platform: Platform, *quotas: str) -> None:
        self.platform, self.name = platform, f"t{uuid4().hex[:8]}"
        options = [word for quota in quotas for word in ("--quota", quota)]
        platform.manage("create_tenant", self.name, *UNLIMITED, *options)
        self.key = self._key("inference", "batch")
        self._manager = self._key("management:read", "management:write")

    def _key(self, *scopes: str) -> str:
        options = [word for scope in scopes for word in ("--scope", scope)]
        made = self.platform.manage("create_api_key", self.name, "--name", "k", *options, "--json")
        return str(json.loads(made)["api_key"])

    def managed(self, method: str, path: str, **body: str) -> httpx.Response:
        url = f"{self.platform.url}/api/v1/tenants/{self.name}/{path}"
        headers = {"Authorization": f"Bearer {self._manager}"}
        return httpx.request(method, url, headers=headers, json=body or None, timeout=60)


@pytest.fixture
def acme(staged: Platform) -> Team:
    return Team(staged)


def test_an_alias_answers_and_is_listed_everywhere(acme: Team, mock: Mock, front: FrontEnd) -> None:
    mock.behave(tokens=1)
    made = acme.managed("POST", "aliases/", name=SONNET, model="mock")
    assert made.status_code == 201, made.text
    with front.client(acme.key) as asking:
        eventually(lambda: asking.chat(model=SONNET, max_tokens=1).status == 200, 3)
        with asking.chat_stream(model=SONNET, max_tokens=1) as stream:
            assert "".join(event.text for event in stream)
        assert SONNET in asking.models().text.split()
        refused = asking.chat(model="claude-opus-4-5", max_tokens=1)
        assert (refused.status, refused.code) == (404, "model_not_found")


def test_a_session_has_a_budget_of_its_own_everywhere(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=1)
    acme = Team(staged, "requests/session=2")
    answers = []
    for name in ("one", "one", "one", "two"):
        with front.client(acme.key, headers={"x-session-id": name}) as asking:
            answers.append(asking.chat(max_tokens=1))
            if name == "one" and len(answers) == 3:
                assert asking.at_once(1, "chat_stream", max_tokens=1)[0].status == 429
    assert [answer.status for answer in answers] == [200, 200, 429, 200]
    assert (answers[2].code, answers[2].retry_after_s) == ("insufficient_quota", 0)
    assert "per session" in answers[2].message
    sessions = [answers[n].figures["x-forebay-session"] for n in (0, 1, 3)]
    assert sessions[0] == sessions[1] != sessions[2]
    with front.client(acme.key) as asking:
        assert [asking.chat(max_tokens=1).status for _ in range(3)] == [200] * 3
    rows = acme.managed("GET", "usage/sessions/").json()["sessions"]
    by_session = {row["session"]: row["requests"] for row in rows}
    assert by_session == {sessions[0]: 2, sessions[2]: 1}
