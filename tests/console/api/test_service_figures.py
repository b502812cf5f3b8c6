"""Figures of customer service over the management API."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inference.dialogues.measures import report
from inference.models import Assistant
from tenants.models import ApiKey, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.inference.assistants.rows import an_assistant
from tests.inference.dialogues.measured import ended

pytestmark = pytest.mark.django_db
FIGURES = "tenants/acme/service/figures/"
DIALOGUES = "tenants/acme/service/dialogues/"


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read"])


def test_figures_in_all_over_time_and_by_intent(api: Api, acme: Tenant, globex: Tenant) -> None:
    ended(acme, intents=["track"], satisfaction=4)
    ended(acme, handed_over_at=timezone.now())
    ended(globex)
    body = api.get(FIGURES, range="7d", by="intent").json()
    total = body["total"]
    assert (total["dialogues"], total["resolved"], total["handed_over"]) == (2, 1, 1)
    assert total["resolution_low"] == pytest.approx(0.0945, abs=1e-4)
    assert (total["satisfaction"], body["ratings"]["4"]) == (4.0, 1)
    assert len(body["series"]) == 7
    assert [(each["value"], each["resolved"]) for each in body["groups"]] == [("track", 1)]
    weekly = api.get(FIGURES, step="week").json()["series"]
    assert len(weekly) in (5, 6)


def test_dialogues_behind_a_figure_come_without_texts(api: Api, acme: Tenant) -> None:
    ended(acme)
    handed = ended(acme, handed_over_at=timezone.now())
    (row,) = api.get(DIALOGUES, outcome="handed_over").json()["results"]
    assert (row["public_id"], row["outcome"]) == (handed.public_id, "handed_over")
    assert "Where is it?" not in str(row)


def test_wrong_questions_are_refused(
    api: Api, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert errors(api.get(FIGURES, by="person")).keys() == {"by"}
    assert errors(api.get(FIGURES, range="custom", first="2026-02-02", last="2026-02-01")).keys()
    assert errors(api.get(DIALOGUES, satisfaction="9")).keys() == {"satisfaction"}
    monkeypatch.setattr(report, "MOST_DIALOGUES", 0)
    ended(acme)
    assert errors(api.get(FIGURES)).keys() == {"range"}


def test_both_versions_side_by_side(api: Api, acme: Tenant) -> None:
    key = ApiKey.issue(acme, "shop", by="test")[0]
    assistant = an_assistant(acme, key)
    path = f"tenants/acme/assistants/{assistant.pk}/comparison/"
    assert api.get(path).status_code == 404
    since = timezone.now() - timedelta(days=3)
    changes = {"live": 1, "challenger": 2, "challenged_at": since}
    Assistant.objects.filter(pk=assistant.pk).update(**changes)
    ended(acme, assistant.pk, version=2)
    body = api.get(path).json()
    assert (body["people_live"], body["people_challenger"]) == (0, 1)
    assert "Too few people" in body["sentence"]
    resolved = body["figures"][0]
    assert (resolved["name"], resolved["live"], resolved["verdict"]) == (
        "resolved",
        None,
        "too_few",
    )
    assert resolved["challenger"]["value"] == 1.0
