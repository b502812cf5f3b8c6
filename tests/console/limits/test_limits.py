import pytest

from audit.models import Event
from tenants.models import Member, Tenant, TierPolicy, User
from tenants.models.tier import DEFAULTS
from tests.console.conftest import HIDDEN, SignIn, hidden_fields

LIMITS = "/console/t/acme/limits/"
TIER = dict.fromkeys(DEFAULTS, "50")
FORM = {
    "tier": "vip",
    "requests_per_minute": "500",
    "burst": "0",
    "max_concurrency": "8",
    "megabytes_per_day": "250",
}


def test_an_operator_changes_them(acme: Tenant, operator: User, sign_in: SignIn) -> None:
    page = sign_in(operator).post(LIMITS, FORM, follow=True).content.decode()
    assert "The limits are saved" in page
    acme.refresh_from_db()
    assert (acme.tier, acme.requests_per_minute, acme.burst, acme.max_concurrency) == (
        "vip",
        500,
        0,
        8,
    )
    assert (acme.limit("megabytes_in_flight"), acme.megabytes_per_day) == (32, 250)
    event = Event.objects.get(action="tenant:change")
    assert event.actor == operator.actor
    assert event.detail["burst"] == [None, 0]


@pytest.mark.parametrize("bad", [{"burst": "-1"}, {"burst": "many"}, {"burst": str(2**31)}])
def test_bad_limits(acme: Tenant, operator: User, sign_in: SignIn, bad: dict[str, str]) -> None:
    answer = sign_in(operator).post(LIMITS, {**FORM, **bad})
    assert "invalid-feedback" in answer.content.decode()
    acme.refresh_from_db()
    assert acme.limit("burst") == 200


def test_a_tenant_sees_its_limits_and_whom_to_ask(alice: Member, sign_in: SignIn) -> None:
    page = sign_in(alice).get(LIMITS).content.decode()
    assert "Platform operators set these limits." in page
    assert 'name="burst"' not in page


def test_of_two_who_change_the_limits_the_second_is_told(
    acme: Tenant, operator: User, sign_in: SignIn
) -> None:
    client = sign_in(operator)
    opened = hidden_fields(client, LIMITS)
    acme.change(by="test", requests_per_minute=7)
    page = client.post(LIMITS, {**FORM, **opened}).content.decode()
    assert "Somebody has changed it meanwhile." in page
    acme.refresh_from_db()
    assert (acme.tier, acme.requests_per_minute) == ("standard", 7)
    assert client.post(LIMITS, {**FORM, **hidden_fields(client, LIMITS)}).status_code == 302


def test_of_two_who_change_a_tier_the_second_is_told(operator: User, sign_in: SignIn) -> None:
    client, form = sign_in(operator), {"tier": "vip", "weight": "9", **TIER}
    opened = client.get("/console/tiers/").content.decode().partition('value="vip"')[2]
    known = HIDDEN.findall(opened)[0]
    TierPolicy.objects.of("vip").change(by="test", burst=7)
    page = client.post("/console/tiers/", {**form, **dict([known])}).content.decode()
    assert "Somebody has changed it meanwhile." in page
    policy = TierPolicy.objects.of("vip")
    assert (policy.weight, policy.burst) == (4, 7)
