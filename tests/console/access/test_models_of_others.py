"""A model for one tenant alone has no place on the pages of others, neither do its troubles."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from inference import engines
from inference.engine_entries import EngineEntry
from inference.engines.health import reachability
from tenants import model_access
from tenants.models import Member
from tests.console.conftest import SignIn

FIELDS = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
OWN = "globex-risk"
PAGES = ("", "models/", "keys/", "quotas/", "cache/", "requests/", "aliases/", "search/?q=globex")


@pytest.fixture(autouse=True)
def _served(charlie: Member, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It comes first, and no engine of any model answers."""
    own = EngineEntry(OWN, OWN, OWN, FIELDS, only_for=charlie.tenant_id)
    engines.put_in_force([own, EngineEntry("open", "open", "open", FIELDS)])
    monkeypatch.setattr(reachability, "down_since", lambda _engines: timezone.now())
    yield
    engines.forget()


@pytest.mark.parametrize("page", PAGES)
def test_others_read_nothing_of_it(alice: Member, sign_in: SignIn, page: str) -> None:
    assert OWN not in sign_in(alice).get(f"/console/t/acme/{page}").content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_its_tenant_has_it(charlie: Member, sign_in: SignIn, page: str) -> None:
    assert OWN in sign_in(charlie).get(f"/console/t/globex/{page}").content.decode()


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("models/restriction/", {"model": OWN}),
        ("keys/", {"name": "x", "days": "30", "scopes": ["inference"], "allowed_models": [OWN]}),
        ("quotas/", {"scope": f"model:{OWN}", "unit": "tokens", "window": "day", "limit": "1"}),
        ("cache/rules/", {"model": OWN, "on": "on"}),
    ],
)
def test_a_form_tells_no_more_than_of_a_model_that_nobody_serves(
    alice: Member, sign_in: SignIn, page: str, form: dict[str, Any]
) -> None:
    answers = []
    for name in (OWN, "nobody-serves"):
        sent = {key: _renamed(value, name) for key, value in form.items()}
        answer = sign_in(alice).post(f"/console/t/acme/{page}", sent)
        answers.append((answer.status_code, "Select a valid choice" in answer.content.decode()))
    assert answers[0] == answers[1]
    assert answers[0] in ((404, False), (200, True))


def _renamed(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_renamed(each, name) for each in value]
    return value.replace(OWN, name)


def test_a_restriction_of_its_name_tells_no_more_either(alice: Member, sign_in: SignIn) -> None:
    for name in (OWN, "nobody-serves"):
        model_access.restrict(alice.tenant, name, by="test")
    page = sign_in(alice).get("/console/t/acme/models/").content.decode()
    assert page.count("not served at present") == 2
    assert page.count("down since") == 1, "that of the open model"
