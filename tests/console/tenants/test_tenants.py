import pytest

from audit.actions import Action
from audit.models import Event
from tenants.models import ApiKey, Link, Member, Tenant, User
from tenants.roles import Role
from tests.console.conftest import SignIn

TENANTS = "/console/tenants/"


def test_an_operator_creates_a_tenant_and_invites_its_owner(
    operator: User, sign_in: SignIn
) -> None:
    form = {"name": "initech", "tier": "vip", "owner": "bill@initech.example"}
    page = sign_in(operator).post(TENANTS, form).content.decode()
    assert "Tenant initech is ready" in page
    assert "/welcome/" in page
    assert Tenant.objects.get().tier == "vip"
    link = Link.objects.get()
    assert (link.email, link.role) == ("bill@initech.example", Role.OWNER)
    assert Event.objects.get(action=Action.TENANT_CREATE).actor == operator.actor


def test_a_tenant_can_wait_for_its_owner(operator: User, sign_in: SignIn) -> None:
    form = {"name": "initech", "tier": "standard", "owner": ""}
    page = sign_in(operator).post(TENANTS, form).content.decode()
    assert "Tenant initech is ready" in page
    assert "/welcome/" not in page


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"name": "acme"}, "already exists"),
        ({"name": "Acme"}, "Use lowercase letters, digits and dashes"),
        ({"name": "a b"}, "valid"),
        ({"name": ""}, "required"),
        ({"tier": "gold"}, "Select a valid choice"),
        ({"owner": "nonsense"}, "valid email"),
        ({"owner": f"{'b' * 250}@initech.example"}, "at most 254 characters"),
    ],
)
def test_bad_tenants(
    acme: Tenant, operator: User, sign_in: SignIn, bad: dict[str, str], said: str
) -> None:
    form = {"name": "initech", "tier": "standard", "owner": "bill@initech.example", **bad}
    assert said in sign_in(operator).post(TENANTS, form).content.decode()
    assert Tenant.objects.count() == 1
    assert not Link.objects.exists()


def test_the_list_counts_people_and_live_keys(
    alice: Member, bob: Member, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    for name in ("one", "two"):
        key, _ = ApiKey.issue(alice.tenant, name, by="test")
    key.revoke(by="test")
    listed = sign_in(operator).get(TENANTS).context["table"].rows
    counts = [(tenant.name, tenant.member_count, tenant.keys) for tenant in listed]
    assert counts == [("acme", 2, 1), ("globex", 0, 0)]


def test_finding_a_tenant(acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn) -> None:
    found = sign_in(operator).get(TENANTS, {"q": "GLO"}).context["table"].rows
    assert list(found) == [globex]
    assert "No tenant found" in sign_in(operator).get(TENANTS, {"q": "zzz"}).content.decode()
