"""Keys of operators at the management API: what their scopes open, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from inference.models import Engine, Model, Pool, Replacement
from inference.registry.versions import proposed
from tenants.models import OperatorKey, Price, Tenant, TierPolicy, User
from tenants.operator_scopes import OperatorScope
from tests.console.api.conftest import Api, Enter, errors, operator_key
from tests.console.api.who_may_what import OPENED, TABLE, T, ask
from tests.console.conftest import prove

LOCAL = "http://127.0.0.1:9/v1"
FAR = "https://203.0.113.7/v1"


def with_scopes(maker: User, scopes: list[str] | None = None, **settings: Any) -> Api:
    return Api(Client(), operator_key(maker, scopes, **settings)[1])


@pytest.fixture
def pool(db: None) -> Pool:
    return Pool.add(Model.add("large", by="test"), "here", by="test")


@pytest.fixture
def hosted(pool: Pool) -> Engine:
    return Engine.add(pool, "there", by="test", kind="vllm", url=FAR, hosted=True)


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:forebay:problem:")


# What is open ------------------------------------------------------------------------------------
@pytest.mark.slow(seconds=20)
def test_a_key_with_every_scope_opens_what_stands_in_the_table_and_nothing_else(
    acme: Tenant, operator: User
) -> None:
    key = with_scopes(operator, requests_per_minute=0)  # the table is long
    opened = {row for row in TABLE if ask(key, row).status_code != 403}
    assert opened ^ {*OPENED, "GET me/"} == set()


@pytest.mark.slow(seconds=20)
def test_without_the_one_scope_an_act_is_refused_with_its_name(
    acme: Tenant, operator: User
) -> None:
    lacking = {
        scope: with_scopes(operator, [s for s in OperatorScope if s != scope])
        for scope in OperatorScope
    }
    for row, scope in OPENED.items():
        answer = ask(lacking[OperatorScope(scope)], row)
        assert problem(answer) == (403, "scope_missing"), row
        assert scope in answer.json()["detail"], row


def test_whatever_is_for_people_says_so(acme: Tenant, operator: User) -> None:
    key = with_scopes(operator)
    for path in (f"{T}keys/", f"{T}members/", f"{T}events/", "tenants/", "usage/", "batches/"):
        answer = key.get(path)
        assert problem(answer) == (403, "person_needed"), path
        assert "No scope of an operator key opens this" in answer.json()["detail"]


def test_which_tenants_there_are_shows_only_with_a_scope_for_them(
    acme: Tenant, operator: User
) -> None:
    engines, limits = (
        with_scopes(operator, ["engines:read"]),
        with_scopes(operator, ["limits:read"]),
    )
    assert limits.get(f"{T}limits/").status_code == 200
    assert limits.get("tenants/nowhere/limits/").status_code == 404
    for name in ("acme", "nowhere"):
        answer = engines.get(f"tenants/{name}/limits/")
        assert problem(answer) == (403, "scope_missing")


def test_whose_model_it_is_shows_only_with_a_scope_for_tenants(
    acme: Tenant, operator: User
) -> None:
    Model.add("own", by="t", only_for=acme.pk)
    Model.add("open", by="t")
    pools = ["pools:read", "pools:write"]
    for scopes, shown in ((pools, "-"), ([*pools, "limits:read"], "acme")):
        api = with_scopes(operator, list(scopes))
        rows = {row["name"]: row["only_for"] for row in api.get("models/").json()["results"]}
        assert rows == {"own": shown, "open": None}
    api = with_scopes(operator, pools)
    for name in ("acme", "nobody"):  # alike, whether or not there is one
        answer = api.post("models/", name="new", only_for=name)
        assert (answer.status_code, "limits:read" in answer.content.decode()) == (403, True)


def test_it_says_who_it_is(operator: User) -> None:
    key, text = operator_key(operator, ["engines:read"])
    assert Api(Client(), text).get("me/").json() == {
        "actor": f"operator_key:{key.pk}",
        "email": None,
        "name": "ansible",
        "operator": False,
        "scopes": ["engines:read"],
        "tenants": [],
    }


@pytest.mark.parametrize("name", ["", " ", "\u3000", "\0"])
def test_a_filter_of_nothing_is_refused_and_does_not_hold_for_all(
    operator: User, pool: Pool, name: str
) -> None:
    """Or a program that looks one up by a variable that was never set would go on with another."""
    answer = with_scopes(operator).get("pools/", name=name)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["name"])


def test_engines_do_not_go_with_their_pool_without_a_scope_for_engines(
    operator: User, pool: Pool
) -> None:
    Engine.add(pool, "gpu-1", by="test", kind="vllm", url=LOCAL)
    pools = with_scopes(operator, ["pools:read", "pools:write"])
    paths = (f"pools/{pool.pk}/", f"models/{pool.model_id}/")
    for path in paths:
        answer = pools.delete(path)
        assert problem(answer) == (403, "scope_missing")
        assert "engines:write" in answer.json()["detail"]
    assert Engine.objects.exists()
    both = with_scopes(operator, ["pools:read", "pools:write", "engines:write"])
    assert [both.delete(path).status_code for path in paths] == [204, 204]
    assert not Engine.objects.exists()


def test_an_empty_pool_goes_without_it(operator: User, pool: Pool) -> None:
    pools = with_scopes(operator, ["pools:read", "pools:write"])
    assert pools.delete(f"pools/{pool.pk}/").status_code == 204


# What ends it ------------------------------------------------------------------------------------
def test_a_revoked_key_is_refused_with_the_next_request(operator: User) -> None:
    key, text = operator_key(operator)
    api = Api(Client(), text)
    assert api.get("engines/").status_code == 200
    key.revoke(by="test")
    assert api.get("engines/").status_code == 401


@pytest.mark.parametrize("change", [{"is_operator": False}, {"is_active": False}])
def test_it_ends_with_its_maker(operator: User, change: dict[str, Any]) -> None:
    api = with_scopes(operator)
    assert api.get("engines/").status_code == 200
    User.objects.filter(pk=operator.pk).update(**change)
    assert api.get("engines/").status_code == 401


def test_it_ends_in_time(operator: User) -> None:
    api = with_scopes(operator)
    OperatorKey.objects.update(expires_at=timezone.now())
    assert api.get("engines/").status_code == 401


def test_a_text_that_is_nearly_right_opens_nothing(operator: User) -> None:
    _key, text = operator_key(operator)
    for wrong in (
        text[:-1],
        text + "x",
        text.upper(),
        text.replace("sk-fbop-", "sk-fb-"),
        f" {text}x",
    ):
        assert Api(Client(), wrong).get("engines/").status_code == 401


def test_it_is_taken_from_its_networks_alone(operator: User) -> None:
    far = with_scopes(operator, allowed_networks=["192.0.2.0/24"])
    assert problem(far.get("engines/")) == (403, "address_not_accepted")
    near = with_scopes(operator, allowed_networks=["127.0.0.0/8"])
    assert near.get("engines/").status_code == 200


def test_it_has_a_rate_of_its_own(operator: User) -> None:
    first = with_scopes(operator, requests_per_minute=2)
    second = with_scopes(operator)
    assert [first.get("engines/").status_code for _ in range(3)] == [200, 200, 429]
    assert second.get("engines/").status_code == 200
    assert OperatorKey.objects.latest("created_at").requests_per_minute == 100


def test_wrong_keys_count_against_their_address(operator: User, settings: Any) -> None:
    settings.ADDRESS_PER_MINUTE = 2
    far = Client(REMOTE_ADDR="192.0.2.1")
    wrong = Api(far, "sk-fbop-000000000000-wrong-000000")
    assert [wrong.get("engines/").status_code for _ in range(3)] == [401, 401, 429]
    _key, right = operator_key(operator)
    assert Api(far, right).get("engines/").status_code == 429


def test_its_use_is_noted_also_where_it_was_refused(operator: User) -> None:
    key, text = operator_key(operator, ["prices:read"])
    assert Api(Client(), text).get("engines/").status_code == 403
    key.refresh_from_db()
    assert key.last_used_at


# What is on record -------------------------------------------------------------------------------
def test_each_act_names_the_key_and_the_operator_who_made_it(
    acme: Tenant, operator: User, pool: Pool
) -> None:
    key, text = operator_key(operator)
    api = Api(Client(), text)
    credit = {"key_name": "ansible", "made_by": operator.actor}
    engine = {"name": "gpu-1", "pool": "here", "kind": "vllm", "url": LOCAL}
    assert api.post("engines/", **engine).status_code == 201
    price = {"model": "large", "prompt": "1", "cached": "1", "completion": "1"}
    assert api.post("prices/", **price).status_code == 201
    assert api.patch("tiers/vip/", weight=5).status_code == 200
    assert api.patch(f"{T}limits/", burst=7).status_code == 200
    acts = Event.objects.filter(actor=key.actor)
    assert set(acts.values_list("action", flat=True)) == {
        Action.ENGINE_ADD,
        Action.PRICE_CHANGE,
        Action.TIER_CHANGE,
        Action.TENANT_CHANGE,
        Action.OPERATOR_ACCESS,
    }
    for event in acts:
        assert event.detail.items() >= credit.items(), event.action
        assert event.client_net == "127.0.0.0"
    assert acts.get(action=Action.OPERATOR_ACCESS).tenant_id == acme.pk


def test_what_others_do_afterwards_does_not_name_the_key(operator: User, enter: Enter) -> None:
    with_scopes(operator).post("models/", name="one")
    Model.add("two", by="test")  # by the platform itself, in the same thread
    enter(operator).post("models/", name="three")
    acts = Event.objects.filter(action=Action.MODEL_ADD).order_by("id")
    assert [act.detail.get("key_name") for act in acts] == ["ansible", None, None]


def test_what_was_denied_is_on_record(operator: User) -> None:
    key, text = operator_key(operator, ["engines:read"])
    Api(Client(), text).get("prices/")
    event = Event.objects.get(action=Action.ACCESS_DENIED)
    assert (event.actor, event.tenant_id) == (key.actor, None)
    assert event.detail["route"] == "GET /api/v1/prices/"
    assert event.detail["made_by"] == operator.actor


def test_the_same_post_twice_is_done_once(operator: User) -> None:
    api, once = with_scopes(operator), {"Idempotency-Key": "run-7"}
    first = api.post("models/", once, name="one")
    again = api.post("models/", once, name="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Model.objects.filter(name="one").count() == 1
    assert with_scopes(operator).post("models/", once, name="one").status_code == 409  # its own


# Where requests leave ----------------------------------------------------------------------------
def test_no_key_makes_a_hosted_engine(operator: User, pool: Pool) -> None:
    api = with_scopes(operator)
    new = {"name": "away", "pool": "here", "url": FAR}
    for body in ({"kind": "vllm", "hosted": True}, {"kind": "deepseek"}):
        answer = api.post("engines/", **new, **body)
        assert problem(answer) == (403, "person_needed")
        assert "a person decides" in answer.json()["detail"]
    outside = api.post("engines/", **new, kind="vllm")
    assert outside.status_code == 400
    assert "FOREBAY_INTERNAL_NETWORKS" in str(outside.json())
    assert not Engine.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://203.0.113.8/v1"},
        {"api_key": "stolen"},
        {"hosted": False, "url": LOCAL},
        {"options": {"model": "other"}},
    ],
)
def test_no_key_says_where_a_hosted_engine_is(
    operator: User, hosted: Engine, change: dict[str, Any]
) -> None:
    path = f"engines/{hosted.pk}/"
    api = with_scopes(operator)
    assert problem(api.patch(path, **change)) == (403, "person_needed")
    if "api_key" not in change:
        assert problem(api.post(f"{path}replace/", **change)) == (403, "person_needed")
    assert (Engine.objects.get().url, Engine.objects.get().api_key) == (FAR, "")


def test_no_key_makes_an_engine_hosted(operator: User, pool: Pool) -> None:
    engine = Engine.add(pool, "gpu-1", by="test", kind="vllm", url=LOCAL)
    api, path = with_scopes(operator), f"engines/{engine.pk}/"
    away: dict[str, Any] = {"hosted": True, "url": FAR}
    assert problem(api.patch(path, **away)) == (403, "person_needed")
    assert problem(api.post(f"{path}replace/", **away)) == (403, "person_needed")
    assert not Replacement.objects.exists()


def test_a_key_drains_resumes_sizes_and_removes_a_hosted_engine(
    operator: User, hosted: Engine
) -> None:
    api, path = with_scopes(operator), f"engines/{hosted.pk}/"
    assert api.post(f"{path}drain/").json()["draining"]
    assert not api.post(f"{path}resume/").json()["draining"]
    answer = api.patch(path, slots=3, url=FAR)
    assert answer.json().get("slots") == 3, errors(answer)
    assert api.delete(path).status_code == 204


def test_an_engine_of_this_installation_is_changed_and_replaced(operator: User, pool: Pool) -> None:
    engine = Engine.add(pool, "gpu-1", by="test", kind="vllm", url=LOCAL)
    api, path = with_scopes(operator), f"engines/{engine.pk}/"
    assert api.patch(path, url="http://127.0.0.1:10/v1", hosted=False).status_code == 200
    begun = api.post(f"{path}replace/", url="http://127.0.0.1:11/v1")
    assert begun.status_code == 201
    assert api.post(f"replacements/{begun.json()['id']}/cancel/").status_code == 200
    assert proposed(engine, {})


def test_no_key_says_when_the_pools_beside_a_hosted_engine_are_tried(
    operator: User, hosted: Engine, pool: Pool
) -> None:
    Pool.objects.update(condition="failover", position=5)
    near = Pool.add(pool.model, "near", by="test", position=0)
    api = with_scopes(operator)
    for path, change in (
        (f"pools/{pool.pk}/", {"condition": "always"}),
        (f"pools/{pool.pk}/", {"condition": "overflow", "overflow_after_ms": 0}),
        (f"pools/{pool.pk}/", {"position": 0}),
        (f"pools/{near.pk}/", {"position": 9}),
    ):
        answer = api.patch(path, **change)
        assert problem(answer) == (403, "person_needed"), change
        assert "a person decides" in answer.json()["detail"]
    same = api.patch(f"pools/{pool.pk}/", condition="failover", limits={"batch": {"waiting": 9}})
    assert same.status_code == 200
    hosted.remove(by="test")
    assert api.patch(f"pools/{near.pk}/", position=9).status_code == 200


# Making them -------------------------------------------------------------------------------------
def new_key(**more: Any) -> dict[str, Any]:
    ends = (timezone.now() + timedelta(days=9)).isoformat()
    return {"name": "ci", "scopes": ["engines:read"], "expires_at": ends, **more}


def proven_by_factor(api: Api, person: User, seconds_ago: float = 0) -> None:
    prove(api.client, person, seconds_ago)
    session = api.client.session
    session["account_authentication_methods"][0]["method"] = "mfa"
    session.save()


def test_an_operator_makes_one_with_a_second_factor_proven_now(
    operator: User, enter: Enter
) -> None:
    api = enter(operator)
    assert "second factor" in str(api.post("operator-keys/", **new_key()).json())
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={})
    assert problem(api.post("operator-keys/", **new_key())) == (403, "proof_needed")  # a password
    proven_by_factor(api, operator, seconds_ago=601)
    assert problem(api.post("operator-keys/", **new_key())) == (403, "proof_needed")
    assert not OperatorKey.objects.exists()
    proven_by_factor(api, operator)
    made = api.post("operator-keys/", **new_key(allowed_networks=["127.0.0.1"]))
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert Api(Client(), secret).get("engines/").status_code == 200
    assert secret not in str(api.get("operator-keys/").json())
    assert secret not in str(api.get(f"operator-keys/{made.json()['id']}/").json())


@pytest.mark.parametrize("lost", ["proof", "factor"])
def test_an_answer_with_a_key_is_repeated_to_the_second_factor_alone(
    operator: User, enter: Enter, lost: str
) -> None:
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={})
    api, body, once = enter(operator), new_key(), {"Idempotency-Key": "run-7"}
    proven_by_factor(api, operator)
    first = api.post("operator-keys/", once, **body)
    assert api.post("operator-keys/", once, **body).json() == first.json()
    if lost == "factor":
        Authenticator.objects.all().delete()
    else:
        prove(api.client, operator)  # by the password
    refused = api.post("operator-keys/", once, **body)
    assert refused.status_code in (400, 403)
    assert first.json()["secret"] not in refused.content.decode()


def test_any_operator_sees_and_revokes_them(operator: User, enter: Enter) -> None:
    key, text = operator_key(operator)
    other = User.objects.create_user("second@forebay.example", is_operator=True)
    api = enter(other)
    (row,) = api.get("operator-keys/", state="live").json()["results"]
    assert (row["name"], row["created_by"]) == ("ansible", operator.actor)
    assert api.post(f"operator-keys/{key.pk}/revoke/").json()["state"] == "revoked"
    assert Api(Client(), text).get("engines/").status_code == 401
    assert api.post(f"operator-keys/{key.pk}/revoke/").status_code == 200
    assert Event.objects.get(action=Action.OPERATOR_KEY_REVOKE).actor == other.actor


def test_no_key_makes_sees_or_revokes_keys(operator: User) -> None:
    key, text = operator_key(operator)
    api = Api(Client(), text)
    for answer in (
        api.get("operator-keys/"),
        api.post("operator-keys/", **new_key()),
        api.get(f"operator-keys/{key.pk}/"),
        api.post(f"operator-keys/{key.pk}/revoke/"),
    ):
        assert problem(answer) == (403, "person_needed")


def test_what_it_did_holds(acme: Tenant, operator: User) -> None:
    api = with_scopes(operator)
    api.patch("tiers/vip/", weight=9)
    api.patch(f"{T}limits/", requests_per_minute=11)
    api.post("prices/", model="large", prompt="2", cached="1", completion="1")
    assert TierPolicy.objects.get(tier="vip").weight == 9
    acme.refresh_from_db()
    assert acme.requests_per_minute == 11
    assert Price.objects.get().prompt == 2
