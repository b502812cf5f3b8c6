"""Signed webhooks: what is sent, and what becomes of it when the receiver fails."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.models import Event
from tenants.models import Member, Notice, NoticeState, NoticeTarget, Tenant
from tenants.notices import delivery
from tenants.notices.outbox import announce
from tests.inference.actions.webhook_server import Service
from tests.tenants.notices.conftest import new_target
from tests.tenants.notices.standard_webhooks import is_genuine

pytestmark = pytest.mark.django_db
FACTS = {"quota": "q", "percent": 80, "unit": "tokens", "window": "day", "limit": 10, "used": 8}


def _reach(tenant: Tenant, percent: int = 80) -> Notice:
    announce("quota.reached", f"q{percent}", tenant_id=tenant.pk, facts=FACTS)
    return Notice.objects.get(occasion=f"q{percent}", target__isnull=False, tenant=tenant)


def _due_now(notice: Notice) -> None:
    Notice.objects.filter(pk=notice.pk).update(due_at=timezone.now())


def test_a_receiver_can_verify_what_it_gets(acme: Tenant, service: Service) -> None:
    _target, secret = new_target(acme, service.url)
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    headers, body = service.delivered[0]
    assert is_genuine(secret, headers, body)
    assert not is_genuine(secret, headers, body + b" ")
    assert headers["webhook-id"] == str(notice.id)
    content = service.bodies[0]
    assert (content["type"], content["tenant"], content["data"]) == ("quota.reached", "acme", FACTS)
    assert (notice.state, notice.status, notice.attempts) == (NoticeState.SENT, 200, 1)
    assert notice.tries[0]["ms"] >= 0


def test_while_a_secret_is_replaced_both_sign(acme: Tenant, service: Service) -> None:
    target, former = new_target(acme, service.url)
    new = target.rotate(timedelta(hours=1), by="test")
    _reach(acme)
    delivery.deliver()
    assert all(is_genuine(secret, *service.delivered[0]) for secret in (former, new))
    NoticeTarget.objects.update(former_until=timezone.now())
    _reach(acme, 100)
    delivery.deliver()
    assert [is_genuine(secret, *service.delivered[1]) for secret in (former, new)] == [False, True]


@pytest.mark.parametrize(
    ("mode", "reason", "status"),
    [
        (500, "service_error", 500),
        (404, "refused", 404),
        (302, "redirect", 302),
        ("hang_up", "broken_off", None),
    ],
)
def test_a_failure_is_tried_again_with_the_same_id(
    mode: int | str, reason: str, status: int | None, acme: Tenant, service: Service
) -> None:
    new_target(acme, service.url)
    service.mode, service.headers = mode, {"Location": service.url}
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.reason, notice.status) == (NoticeState.WAITING, reason, status)
    assert timedelta(seconds=5) < notice.due_at - timezone.now() < timedelta(seconds=13)
    assert len(service.delivered) == 1, "neither followed nor repeated at once"
    service.mode = 200
    _due_now(notice)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.attempts) == (NoticeState.SENT, 2)
    assert len({headers["webhook-id"] for headers, _body in service.delivered}) == 1


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [
        ("120", 110, 125),
        (format_datetime(datetime(2199, 1, 1, tzinfo=UTC), usegmt=True), 14_300, 14_401),
        ("999999999999", 14_300, 14_401),
        ("1", 5, 13),
        ("soon", 5, 13),
    ],
)
def test_a_receiver_that_asks_for_time_gets_it_within_bounds(
    retry_after: str, least_s: int, most_s: int, acme: Tenant, service: Service
) -> None:
    new_target(acme, service.url)
    service.mode, service.headers = 503, {"Retry-After": retry_after}
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    wait = notice.due_at - timezone.now()
    assert timedelta(seconds=least_s) < wait < timedelta(seconds=most_s)


def test_a_slow_receiver_delays_nobody_else(
    acme: Tenant, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.notices.targets.webhook.TIMEOUT_S", 0.5)
    service.mode = "wait"
    new_target(acme, service.url)
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.reason) == (NoticeState.WAITING, "timeout")
    assert notice.tries[0]["ms"] < 3000


def test_it_gives_up_after_a_day_and_tells_who_manages_the_target(
    acme: Tenant, alice: Member, service: Service, settings: Settings
) -> None:
    new_target(acme, service.url)
    service.mode = 500
    notice = _reach(acme)
    Notice.objects.filter(pk=notice.pk).update(
        began_at=timezone.now() - timedelta(days=1), attempts=10
    )
    delivery.deliver()
    notice.refresh_from_db()
    assert notice.state == NoticeState.FAILED
    told = Notice.objects.get(event="target.failing")
    assert (told.user, told.facts["name"]) == (alice.user, "operations")


def test_a_target_that_is_gone_for_good_is_not_tried_again(acme: Tenant, service: Service) -> None:
    new_target(acme, service.url)
    service.mode = 410
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.status) == (NoticeState.FAILED, 410)


def test_a_person_sends_it_again_on_record(acme: Tenant, service: Service) -> None:
    new_target(acme, service.url)
    service.mode = 410
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    service.mode = 200
    notice.redeliver(by="member:x")
    with pytest.raises(ValidationError):
        notice.redeliver(by="member:x")
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, len(notice.tries)) == (NoticeState.SENT, 2)
    assert Event.objects.get(action=Action.NOTICE_REDELIVER).detail["notice"] == str(notice.id)


def test_an_occasion_is_told_once(acme: Tenant, service: Service) -> None:
    new_target(acme, service.url)
    _reach(acme)
    _reach(acme)
    delivery.deliver()
    delivery.deliver()
    assert len(service.delivered) == 1


def test_two_processes_send_a_notice_once(acme: Tenant, service: Service) -> None:
    new_target(acme, service.url)
    _reach(acme)
    assert len(delivery.claim()) == 1
    assert delivery.claim() == []


def test_a_private_address_is_refused_when_it_is_set_and_when_it_is_called(
    acme: Tenant, service: Service, settings: Settings
) -> None:
    for url in ("https://127.0.0.1/", "https://169.254.169.254/", "http://shop.example/", "ftp:x"):
        with pytest.raises(ValidationError):
            new_target(acme, url)
    new_target(acme, service.url)
    settings.ACTION_HOSTS = []  # the name leads to an address of ours by now
    notice = _reach(acme)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.reason, service.delivered) == ("address_refused", [])


def test_url_and_secrets_are_encrypted(acme: Tenant) -> None:
    target, secret = new_target(acme, "https://hooks.example.com/T0K3N")
    row = NoticeTarget.objects.values().get(pk=target.pk)
    assert "T0K3N" not in str(row)
    assert secret not in str(row)
    assert target.clear_url() == "https://hooks.example.com/T0K3N"
    events = str(list(Event.objects.filter(tenant_id=acme.pk).values("detail")))
    assert "T0K3N" not in events
    assert secret not in events


def test_a_target_of_another_tenant_hears_nothing(
    acme: Tenant, globex: Tenant, service: Service
) -> None:
    new_target(globex, service.url)
    announce("quota.reached", "q", tenant_id=acme.pk, facts=FACTS)
    assert not Notice.objects.exists()


def test_operators_have_targets_of_their_own(acme: Tenant, service: Service) -> None:
    new_target(None, service.url, groups=("keys",))
    announce("operator_key.expiring", "k", tenant_id=None, facts={"name": "ci"})
    delivery.deliver()
    assert service.bodies[0]["tenant"] is None


@pytest.mark.parametrize("tries", range(1, 12))
def test_pauses_grow_to_four_hours(tries: int) -> None:
    seconds = delivery.pause(tries).total_seconds()
    middle = min(4 * 3600, 10 * 3 ** (tries - 1))
    assert 0.8 * middle <= seconds <= 1.2 * middle


def test_ids_are_unique_for_each_target(acme: Tenant, service: Service) -> None:
    new_target(acme, service.url)
    new_target(acme, service.url, name="second")
    announce("quota.reached", "q", tenant_id=acme.pk, facts=FACTS)
    delivery.deliver()
    ids = {UUID(headers["webhook-id"]) for headers, _body in service.delivered}
    assert len(ids) == 2


@pytest.mark.parametrize("host", ["a..example", ".example", "a" * 64 + ".example"])
def test_a_host_that_no_resolver_takes_is_refused(host: str, acme: Tenant) -> None:
    with pytest.raises(ValidationError):
        new_target(acme, f"https://{host}/")


def test_a_notice_that_cannot_be_sent_stops_no_other(
    acme: Tenant, globex: Tenant, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:  # when such an address was taken
        earlier.setattr("infrastructure.webhooks.addresses.url_problem", lambda _: "")
        new_target(globex, "https://a..example/")
    new_target(acme, service.url)
    stuck, sent = _reach(globex), _reach(acme)
    delivery.deliver()
    stuck.refresh_from_db()
    sent.refresh_from_db()
    assert (stuck.state, stuck.reason) == (NoticeState.WAITING, "unreachable")
    assert sent.state == NoticeState.SENT
