"""A second factor: enrolled, asked for, and the duty to have one."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from console.account.second_factors.mfa_adapter import FactorUnreadable, decrypt, secrets_of
from console.isolation.expected import PAGES
from inference.models import DataSet
from tenants.key_scopes import Scope, key_permissions
from tenants.models import Member, Tenant, User
from tenants.roles import Permission, Profile, readers
from tests.console.account.conftest import SECRET, code, try_password, with_app
from tests.console.conftest import SignIn, join, prove

EMAIL = "alice@acme.example"


def acts(action: Action) -> list[tuple[str, Any, Any]]:
    found = Event.objects.filter(action=action).order_by("id")
    return [(event.actor, event.tenant_id, event.detail) for event in found]


def enrol(client: Client) -> Any:
    client.get("/account/two-factor/app/")
    secret = client.session["mfa.totp.secret"]
    return client.post("/account/two-factor/app/", {"code": code(secret)})


# Enrolling and signing in --------------------------------------------------------------------
@pytest.mark.django_db
def test_from_the_password_to_the_app_to_the_console(
    alice: Member, client: Client, required: None
) -> None:
    assert try_password(client, EMAIL, next="/console/t/acme/").status_code == 302
    assert client.get("/console/t/acme/")["Location"] == "/account/two-factor/"
    assert (
        "Your role requires a second factor" in client.get("/account/two-factor/").content.decode()
    )
    page = client.get("/account/two-factor/app/").content.decode()
    assert client.session["mfa.totp.secret"] in page
    assert 'src="data:image/svg+xml;base64,' in page
    answer = enrol(client)
    assert answer["Location"] == "/account/two-factor/codes/"
    codes = client.get("/account/two-factor/codes/").content.decode()
    assert "shown only once" in codes
    assert client.get("/console/t/acme/").status_code == 200
    assert acts(Action.MFA_ADD) == [(alice.actor, alice.tenant_id, {"factor": "totp"})]


@pytest.mark.django_db
def test_recovery_codes_are_shown_once(alice: Member, client: Client) -> None:
    try_password(client, EMAIL)
    enrol(client)
    codes = Authenticator.objects.get(type="recovery_codes")
    first = client.get("/account/two-factor/codes/").content.decode()
    again = client.get("/account/two-factor/codes/").content.decode()
    with secrets_of(alice.user.pk):
        all_of_them = codes.wrap().generate_codes()
    assert all(one in first for one in all_of_them)
    assert not any(one in again for one in all_of_them)


@pytest.mark.django_db
def test_a_password_alone_no_longer_signs_in(alice: Member, client: Client) -> None:
    with_app(alice.user)
    assert try_password(client, EMAIL)["Location"] == "/login/second-factor/"
    assert client.get("/console/t/acme/")["Location"].startswith("/login/")
    assert not acts(Action.SESSION_LOGIN)
    answer = client.post("/login/second-factor/", {"code": code()})
    assert answer["Location"] == "/"
    assert client.get("/console/t/acme/").status_code == 200
    assert len(acts(Action.SESSION_LOGIN)) == 1


@pytest.mark.django_db
def test_the_way_onward_survives_the_second_factor(alice: Member, client: Client) -> None:
    with_app(alice.user)
    client.post(
        "/login/",
        {"login": EMAIL, "password": "a forebay holds the river", "next": "/console/t/acme/keys/"},
    )
    answer = client.post("/login/second-factor/", {"code": code()})
    assert answer["Location"] == "/console/t/acme/keys/"


@pytest.mark.django_db
def test_a_code_works_once_also_from_another_browser(alice: Member) -> None:
    with_app(alice.user)
    one = code()
    for expected in (302, 200, 200):
        client = Client()
        try_password(client, EMAIL)
        assert client.post("/login/second-factor/", {"code": one}).status_code == expected


@pytest.mark.django_db
def test_an_older_code_does_not_work_after_a_newer_one(alice: Member) -> None:
    with_app(alice.user)
    for steps, expected in ((0, 302), (-1, 200)):
        client = Client()
        try_password(client, EMAIL)
        assert client.post("/login/second-factor/", {"code": code(steps=steps)}).status_code == (
            expected
        )


@pytest.mark.django_db
def test_the_code_that_enrolled_does_not_sign_in(alice: Member, client: Client) -> None:
    try_password(client, EMAIL)
    client.get("/account/two-factor/app/")
    one = code(client.session["mfa.totp.secret"])
    client.post("/account/two-factor/app/", {"code": one})
    other = Client()
    try_password(other, EMAIL)
    assert other.post("/login/second-factor/", {"code": one}).status_code == 200


@pytest.mark.django_db
def test_five_wrong_codes_and_then_none_is_looked_at(alice: Member) -> None:
    with_app(alice.user)
    for _ in range(5):
        client = Client()
        try_password(client, EMAIL)
        client.post("/login/second-factor/", {"code": "000000"})
    client = Client()
    try_password(client, EMAIL)
    answer = client.post("/login/second-factor/", {"code": code()})
    assert "Too many attempts" in answer.content.decode()
    assert len(acts(Action.SESSION_LOCKED)) == 1


@pytest.mark.django_db
def test_a_recovery_code_opens_once_and_is_on_record(alice: Member) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    with_app(alice.user)
    with secrets_of(alice.user.pk):
        one = RecoveryCodes.activate(alice.user).generate_codes()[3]
    for expected in (302, 200):
        client = Client()
        try_password(client, EMAIL)
        assert client.post("/login/second-factor/", {"code": one}).status_code == expected
    assert acts(Action.MFA_USE_RECOVERY) == [(alice.actor, alice.tenant_id, {"left": 9})]


# Sealed --------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_secrets_lie_encrypted_and_bound_to_their_person(alice: Member, charlie: Member) -> None:
    factor = with_app(alice.user)
    stored = Authenticator.objects.get(pk=factor.pk).data["secret"]
    assert SECRET not in str(Authenticator.objects.get(pk=factor.pk).data)
    with secrets_of(alice.user.pk):
        assert decrypt(stored) == SECRET
    with secrets_of(charlie.user.pk), pytest.raises(FactorUnreadable):
        decrypt(stored)
    with secrets_of(alice.user.pk), pytest.raises(FactorUnreadable):
        decrypt(SECRET)


# The duty ------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "path"),
    [
        ("operator", "/console/"),
        ("operator", "/console/tenants/"),
        ("operator", "/console/t/acme/"),
        ("alice", "/console/t/acme/"),
        ("alice", "/chat/"),
        ("alice", "/account/"),
        ("erin", "/console/t/acme/"),
        ("erin", "/"),
        ("carol", "/console/t/acme/"),
        ("carol", "/console/t/acme/audit/texts/"),
    ],
)
def test_nothing_opens_for_the_powerful_before_they_enrol(
    request: pytest.FixtureRequest,
    sign_in: SignIn,
    alice: Member,
    required: None,
    who: str,
    path: str,
) -> None:
    client = sign_in(request.getfixturevalue(who))
    assert client.get(path)["Location"] == "/account/two-factor/"
    assert (
        client.get(path, headers={"HX-Request": "true"}).headers.get(
            "HX-Redirect", "/account/two-factor/"
        )
        == "/account/two-factor/"
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "path"),
    [("bob", "/console/t/acme/"), ("dave", "/chat/")],
)
def test_others_may_go_on_without(
    request: pytest.FixtureRequest, sign_in: SignIn, required: None, who: str, path: str
) -> None:
    assert sign_in(request.getfixturevalue(who)).get(path).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("profile", list(Profile))
def test_every_role_that_reads_texts_has_the_duty(
    acme: Tenant, sign_in: SignIn, required: None, profile: Profile
) -> None:
    Tenant.objects.filter(pk=acme.pk).update(profile=profile)
    for role in readers(profile):
        client = sign_in(join(acme, f"{role}@acme.example", role))
        assert client.get("/console/t/acme/")["Location"] == "/account/two-factor/", role


def _reading_acts() -> list[str]:
    pages = [page for page in PAGES if Permission.VIEW_PROMPTS in (page.sees, page.acts)]
    paths = [page.path.replace("<int:number>", "1") for page in pages]
    return [re.sub("<uuid:.*?>", str(uuid4()), path) for path in paths]


@pytest.mark.django_db
def test_a_password_and_a_reason_read_no_text(
    carol: Member, sign_in: SignIn, required: None
) -> None:
    """Each page and the management API want the second factor before they look at the act."""
    client, paths = sign_in(carol), _reading_acts()
    assert len(paths) >= 3
    for path in paths:
        answer = client.post("/" + path.replace("<slug:tenant>", "acme"), {"reason": "Audit 17"})
        assert answer["Location"] == "/account/two-factor/", path
    answer = client.get("/api/v1/tenants/acme/events/")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:forebay:problem:duty_owed")


@pytest.mark.django_db
def test_no_scope_of_a_key_reads_texts() -> None:
    for profile in Profile:
        assert Permission.VIEW_PROMPTS not in key_permissions(list(Scope), profile)


@pytest.mark.django_db
def test_an_auditor_reads_texts_with_a_second_factor(
    carol: Member, sign_in: SignIn, required: None
) -> None:
    with_app(carol.user)
    assert sign_in(carol).get("/console/t/acme/audit/texts/").status_code == 200


@pytest.mark.django_db
def test_a_new_role_brings_the_duty_at_once(bob: Member, sign_in: SignIn, required: None) -> None:
    client = sign_in(bob)
    assert client.get("/console/t/acme/").status_code == 200
    Member.objects.filter(pk=bob.pk).update(role="admin")
    assert client.get("/console/t/acme/")["Location"] == "/account/two-factor/"


@pytest.mark.django_db
def test_turned_off_it_is_said_on_every_page(alice: Member, sign_in: SignIn, settings: Any) -> None:
    client = sign_in(alice)
    assert "FOREBAY_MFA=optional" in client.get("/console/t/acme/").content.decode()
    settings.SECOND_FACTOR = "required"
    with_app(alice.user)
    assert "FOREBAY_MFA=optional" not in client.get("/console/t/acme/").content.decode()


# Changing and losing it ----------------------------------------------------------------------
@pytest.mark.django_db
def test_the_last_factor_of_who_needs_one_stays(
    alice: Member, sign_in: SignIn, required: None
) -> None:
    with_app(alice.user)
    client = sign_in(alice)
    proven_by(client, "mfa")
    page = client.get("/account/two-factor/app/removal/").content.decode()
    assert "Add another one before" in page
    client.post("/account/two-factor/app/removal/")
    assert Authenticator.objects.filter(user=alice.user, type="totp").exists()


@pytest.mark.django_db
def test_others_remove_theirs_and_it_is_on_record(bob: Member, sign_in: SignIn) -> None:
    with_app(bob.user)
    client = sign_in(bob)
    proven_by(client, "mfa")
    assert client.post("/account/two-factor/app/removal/").status_code == 302
    assert not Authenticator.objects.filter(user=bob.user).exists()
    assert acts(Action.MFA_REMOVE) == [(bob.actor, bob.tenant_id, {"factor": "totp"})]


@pytest.mark.django_db
def test_removing_one_asks_who_it_is(bob: Member, sign_in: SignIn) -> None:
    with_app(bob.user)
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=601)
    answer = client.post("/account/two-factor/app/removal/")
    assert answer["Location"].startswith("/account/proof/")
    assert Authenticator.objects.filter(user=bob.user).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["app/", "app/removal/", "keys/new/", "codes/new/"])
def test_a_password_alone_changes_no_factor(bob: Member, sign_in: SignIn, page: str) -> None:
    """Else it adds a factor of its own, and reads by it what takes the second one."""
    with_app(bob.user)
    client, address = sign_in(bob), f"/account/two-factor/{page}"
    for answer in (client.get(address), client.post(address, {"code": code()})):
        assert answer["Location"].startswith("/account/proof/code/?next=%2Faccount%2Ftwo-factor")
    assert [factor.type for factor in Authenticator.objects.filter(user=bob.user)] == ["totp"]


@pytest.mark.django_db
def test_who_has_just_added_a_factor_has_proven_by_it(bob: Member, client: Client) -> None:
    """The next code of the app is half a minute away."""
    try_password(client, "bob@acme.example")
    assert client.get("/account/two-factor/keys/new/").status_code == 200
    enrol(client)
    assert client.get("/account/two-factor/keys/new/").status_code == 200


@pytest.mark.django_db
def test_another_persons_key_cannot_be_touched(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    key = Authenticator.objects.create(
        user=charlie.user, type="webauthn", data={"name": "his", "credential": {}}
    )
    client = sign_in(alice)
    for path in (
        f"/account/two-factor/keys/{key.pk}/",
        f"/account/two-factor/keys/{key.pk}/removal/",
    ):
        assert client.get(path).status_code == 404
        assert client.post(path, {"name": "mine"}).status_code == 404
    assert Authenticator.objects.filter(pk=key.pk).exists()


@pytest.mark.django_db
def test_a_lost_phone_is_reset_by_a_command(
    alice: Member, client: Client, required: None, capsys: Any
) -> None:
    with_app(alice.user)
    try_password(client, EMAIL)
    client.post("/login/second-factor/", {"code": code()})
    assert client.get("/console/t/acme/").status_code == 200
    call_command("reset_mfa", EMAIL)
    assert client.get("/console/t/acme/")["Location"].startswith("/login/")
    detail = {"factors": ["totp"], "how": "reset"}
    assert acts(Action.MFA_REMOVE) == [("command:reset_mfa", alice.tenant_id, detail)]
    try_password(client, EMAIL)
    assert client.get("/console/t/acme/")["Location"] == "/account/two-factor/"


@pytest.mark.django_db
def test_a_wrong_kind_of_answer_is_refused_not_failed(alice: Member, client: Client) -> None:
    with_app(alice.user)
    try_password(client, EMAIL)
    for posted in (
        {"credential": "{}"},
        {"credential": "nonsense"},
        {"credential": '{"response": 7}'},
        {"code": "１２３４５６"},
        {"code": "x" * 5000},
        {},
    ):
        answer = client.post("/login/second-factor/", posted)
        assert answer.status_code == 200, posted
    assert User.objects.filter(pk=alice.user.pk).exists()
    assert client.get("/console/t/acme/").status_code == 302


# Reading what other people wrote --------------------------------------------------------------
TEXTS = [page.path for page in PAGES if page.acts == Permission.VIEW_PROMPTS]


def proven_by(client: Client, method: str) -> None:
    session = client.session
    for record in session["account_authentication_methods"]:
        record["method"] = method
    session.save()


@pytest.mark.django_db
@pytest.mark.parametrize("path", TEXTS)
def test_texts_are_read_after_the_second_factor_alone(
    carol: Member, sign_in: SignIn, required: None, path: str
) -> None:
    with_app(carol.user)
    client = sign_in(carol)
    address = re.sub(r"<uuid:\w+>", str(uuid4()), re.sub(r"<int:\w+>", "1", path))
    address = "/" + address.replace("<slug:tenant>", "acme")
    answer = client.post(address, {"reason": "Audit 17"})
    assert answer["Location"].startswith("/account/proof/code/"), "a password is not enough"
    proven_by(client, "mfa")
    assert client.post(address, {"reason": "Audit 17"}).status_code in (200, 404)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["password", "mfa"])
def test_the_management_api_shows_texts_after_the_second_factor_alone(
    carol: Member, sign_in: SignIn, required: None, method: str
) -> None:
    with_app(carol.user)
    data_set = DataSet.create(carol.tenant, "chats", by="test", owner=carol.subject_id)
    client = sign_in(carol)
    proven_by(client, method)
    address = f"/api/v1/tenants/acme/data-sets/{data_set.pk}/select/"
    now = timezone.now()
    choice: dict[str, Any] = {
        "since": (now - timedelta(hours=1)).isoformat(),
        "until": now.isoformat(),
    }
    choice |= {"origins": ["requests"], "reason": "Audit 17"}
    answer = client.post(address, choice, content_type="application/json")
    assert answer.json()["type"].endswith("proof_needed") == (method == "password")
