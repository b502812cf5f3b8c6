"""Tenants, their limits and tiers, and prices."""

from typing import Any

import pytest

from audit.models import Event
from inference.models import Model, Pool
from tenants.models import Link, Member, Price, Tenant, User
from tests.console.api.conftest import Api, Enter, errors


@pytest.fixture
def api(operator: User, enter: Enter) -> Api:
    return enter(operator)


def test_an_operator_opens_a_tenant_and_invites_its_owner(api: Api) -> None:
    answer = api.post("tenants/", name="new", tier="vip", owner="ann@new.example")
    assert answer.status_code == 201, answer.content
    said = answer.json()
    assert (said["tier"], said["state"]) == ("vip", "active")
    token = said["invitation_link"].rstrip("/").rpartition("/")[2]
    link = Link.objects.by_token(token)
    assert link
    assert (link.role, link.email) == ("owner", "ann@new.example")
    shown = api.get(answer.headers["Location"]).json()
    assert shown == {k: v for k, v in said.items() if k != "invitation_link"}
    assert Event.objects.get(action="tenant:create").actor.startswith("operator:")


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 61, "..", "a/b", "acmé"])
def test_a_bad_name_is_refused(api: Api, name: str) -> None:
    answer = api.post("tenants/", name=name)
    assert (answer.status_code, list(errors(answer))) == (400, ["name"])


def test_a_taken_name_is_a_conflict(api: Api, acme: Tenant) -> None:
    assert api.post("tenants/", name="acme").status_code == 409


def test_everybody_lists_what_they_may_see(
    api: Api, bob: Member, charlie: Member, enter: Enter, with_key: Enter
) -> None:
    def names(one: Api, **query: str) -> list[str]:
        return [t["name"] for t in one.get("tenants/", **query).json()["results"]]

    assert names(api) == ["acme", "globex"]
    assert names(api, ordering="-name") == ["globex", "acme"]
    assert names(api, name="glo") == ["globex"]
    assert names(api, state="closing") == []
    assert names(enter(bob)) == ["acme"]
    assert names(with_key(charlie.tenant)) == ["globex"]


def test_a_tenants_life(api: Api, acme: Tenant) -> None:
    assert api.post("tenants/acme/suspend/").status_code == 400
    assert api.post("tenants/acme/suspend/", reason="unpaid").json()["state"] == "suspended"
    assert api.post("tenants/acme/resume/").json()["state"] == "active"
    assert api.post("tenants/acme/close/", reason="over").json()["state"] == "closing"
    answer = api.post("tenants/acme/resume/")
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:forebay:problem:tenant_closing"
    told = Event.objects.filter(tenant_id=acme.id, action__startswith="tenant:s")
    assert [event.detail["reason"] for event in told] == ["unpaid"]


def test_an_owner_changes_security_and_only_operators_the_tier(
    api: Api, alice: Member, erin: Member, enter: Enter
) -> None:
    owner, admin = enter(alice), enter(erin)
    assert owner.patch("tenants/acme/", local_only=True).json()["local_only"] is True
    origins = ["https://app.acme.example"]
    changed = owner.patch("tenants/acme/", allowed_origins=origins)
    assert changed.json()["allowed_origins"] == origins
    assert admin.patch("tenants/acme/", allowed_origins=[]).status_code == 403
    refused = owner.patch("tenants/acme/", allowed_origins=["*"])
    assert (refused.status_code, set(errors(refused))) == (400, {"allowed_origins"})
    assert owner.patch("tenants/acme/", tier="vip").status_code == 403
    assert admin.patch("tenants/acme/", local_only=False).status_code == 403
    assert api.patch("tenants/acme/", tier="vip").json()["tier"] == "vip"
    answer = owner.patch("tenants/acme/", time_zone="Mars/Olympus", retention_days=200)
    assert (answer.status_code, set(errors(answer))) == (
        400,
        {"retention_days"},
    )  # has its own place
    answer = owner.patch("tenants/acme/", time_zone="Mars/Olympus")
    assert (answer.status_code, set(errors(answer))) == (400, {"time_zone"})


def test_where_duties_are_apart_operators_change_no_security(api: Api, acme: Tenant) -> None:
    acme.change(by="test", profile="mlps-l3")
    assert api.patch("tenants/acme/", profile="asvs-5").status_code == 403
    assert api.patch("tenants/acme/", tier="vip").status_code == 200


def test_limits_are_the_tenants_or_its_tiers(api: Api, alice: Member, enter: Enter) -> None:
    said = api.patch("tenants/acme/limits/", requests_per_minute=7, burst=0).json()
    assert (said["requests_per_minute"], said["burst"], said["max_concurrency"]) == (7, 0, None)
    assert said["effective"]["max_concurrency"] == 64
    said = api.patch("tenants/acme/limits/", megabytes_in_flight=5).json()
    assert (said["megabytes_in_flight"], said["megabytes_per_day"]) == (5, None)
    assert (said["effective"]["megabytes_per_day"]) == 10_000
    said = api.patch("tenants/acme/limits/", requests_per_minute=None).json()
    assert said["effective"]["requests_per_minute"] == 100
    assert enter(alice).get("tenants/acme/limits/").json() == said
    api.patch("tiers/standard/", requests_per_minute=555)
    assert api.get("tenants/acme/limits/").json()["effective"]["requests_per_minute"] == 555
    assert {e.actor.split(":")[0] for e in Event.objects.filter(action="tier:change")} == {
        "operator"
    }


def test_tiers_are_listed_as_they_come(api: Api) -> None:
    tiers = {t["tier"]: t["weight"] for t in api.get("tiers/").json()["results"]}
    assert tiers == {"standard": 1, "vip": 4}
    assert api.get("tiers/gold/").status_code == 404
    assert list(errors(api.patch("tiers/vip/", weight=0))) == ["weight"]


def test_a_price_holds_from_now_on_and_the_past_stays(api: Api) -> None:
    prices: dict[str, Any] = {"prompt": "0.5500", "cached": "0.1000", "completion": "2.0000"}
    answer = api.post("prices/", model="large", **prices)
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in prices} == prices
    api.post("prices/", model="large", prompt="1", cached="1", completion="1")
    listed = api.get("prices/", model="large").json()["results"]
    assert [p["prompt"] for p in listed] == ["1.0000", "0.5500"]
    assert api.get(answer.headers["Location"]).json() == answer.json()
    there = api.post("prices/", model="large", pool="there", **prices).json()
    assert api.get("prices/", pool="there").json()["results"] == [there]
    Pool.add(Model.add("small", by="test"), "near", by="test")
    wrong = api.post("prices/", model="large", pool="near", **prices)
    assert (wrong.status_code, list(errors(wrong))) == (400, ["pool"])
    for bad in ("-1", "NaN", "1e9999", "1.00001", "x", "", "100000000000"):
        wrong = api.post("prices/", model="large", **{**prices, "cached": bad})
        assert (wrong.status_code, list(errors(wrong))) == (400, ["cached"]), bad
    assert Price.objects.count() == 3
    ended = api.post(f"prices/{there['id']}/end/")
    assert (ended.status_code, ended.json()["ended"], ended.json()["pool"]) == (200, True, "there")
    for other in (there["id"], answer.json()["id"]):
        assert api.post(f"prices/{other}/end/").status_code == 400
    assert Price.objects.count() == 4
