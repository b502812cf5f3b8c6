"""The word `recently_proven` on a view of the console."""

from typing import Any, cast

import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from console.account.reauthentication import recently_proven
from tenants.models import Member, User
from tests.console.conftest import SignIn, prove


@recently_proven
def act(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


def asked(client: Client, user: User, method: str = "post", **headers: str) -> Any:
    request = getattr(RequestFactory(), method)("/console/t/acme/act/", headers=headers)
    request.user, request.session = user, client.session
    request.htmx = "HX-Request" in headers
    request._messages = FallbackStorage(request)
    answer = act(cast("HttpRequest", request))
    return answer, [str(message) for message in get_messages(request)]


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (599, 200), (601, 302)])
def test_ten_minutes_are_good(bob: Member, sign_in: SignIn, seconds: int, status: int) -> None:
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=seconds)
    assert asked(client, bob.user)[0].status_code == status


@pytest.mark.django_db
def test_who_has_not_proved_it_comes_back_to_the_page_with_a_word(
    bob: Member, sign_in: SignIn
) -> None:
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=601)
    page = "http://testserver/console/t/acme/members/?page=2"
    answer, said = asked(client, bob.user, Referer=page)
    assert answer["Location"] == (
        "/account/proof/?next=%2Fconsole%2Ft%2Facme%2Fmembers%2F%3Fpage%3D2"
    )
    assert said == ["Confirm your identity first. Your form is then submitted."]
    answer, said = asked(client, bob.user, Referer="https://evil.example/console/")
    assert answer["Location"] == "/account/proof/?next=%2F"
    assert said == ["Confirm your identity, then submit the form again."]
    answer, _ = asked(client, bob.user, **{"HX-Request": "true", "Referer": page})
    assert answer["HX-Redirect"].startswith("/account/proof/")


@pytest.mark.django_db
def test_looking_is_not_asked(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=601)
    assert asked(client, bob.user, "get")[0].status_code == 200


@pytest.mark.django_db
def test_anothers_proof_is_none(bob: Member, charlie: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    prove(client, charlie.user)
    assert asked(client, bob.user)[0].status_code == 302


@pytest.mark.django_db
def test_without_password_or_factor_the_provider_vouches_again(
    bob: Member, sign_in: SignIn
) -> None:
    bob.user.set_unusable_password()
    bob.user.save()
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=601)
    assert asked(client, bob.user)[0]["Location"].startswith("/login/")
