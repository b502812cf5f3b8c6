"""A person's account page shows the quotas that count what they ask for, and nobody else's."""

from tenants.models import ApiKey, Member, Quota
from tenants.roles import Role
from tests.console.conftest import SignIn


def test_quotas_that_count_a_person_are_on_their_account_page(
    dave: Member, alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    charlie.tenant.add_member(dave.user, Role.MEMBER, by="test")
    key, _ = ApiKey.issue(dave.tenant, "ci", by="test")
    limits = {
        11_111: {"tenant": dave.tenant},
        22_222: {"tenant": dave.tenant, "member": dave},
        33_333: {"tenant": dave.tenant, "member": alice},
        44_444: {"tenant": dave.tenant, "api_key": key},
        55_555: {"tenant": charlie.tenant},
    }
    for limit, scope in limits.items():
        Quota.set(unit="tokens", window="day", limit=limit, by="test", **scope)  # type: ignore[arg-type]  # of a table
    page = sign_in(dave).get("/account/").content.decode()
    assert [f"{limit:,}" in page for limit in limits] == [True, True, False, False, True]
    assert "Your quotas in acme" in page
    assert "Renews at" in page


def test_without_quotas_the_page_says_nothing_of_them(dave: Member, sign_in: SignIn) -> None:
    assert "Your quotas" not in sign_in(dave).get("/account/").content.decode()
