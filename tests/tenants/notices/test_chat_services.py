"""Robots of chat services: their JSON, their signatures, and how their answers are read."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from django.core.exceptions import ValidationError

from infrastructure.webhooks.posting import Answer
from tenants.models import Notice, NoticeState, TargetKind, Tenant
from tenants.notices import delivery
from tenants.notices.targets import KINDS
from tenants.notices.trial import send_test
from tenants.notices.wording import message
from tests.inference.actions.webhook_server import Service
from tests.tenants.notices.conftest import new_target

AT = datetime(2026, 12, 1, tzinfo=UTC)
SECRET = "SEC0123456789"


def _post(acme: Tenant, kind: TargetKind, secret: str = "") -> tuple[str, dict[str, Any]]:
    target, _none = new_target(acme, "https://open.example.com/robot?key=1", kind, secret=secret)
    words = message(send_test(target, by="test"), "en")
    post = KINDS[kind].post(words, target, AT)
    return post.url, orjson.loads(post.body)


@pytest.mark.django_db
def test_feishu_signs_in_the_body(acme: Tenant) -> None:
    url, content = _post(acme, TargetKind.FEISHU, SECRET)
    stamp = str(int(AT.timestamp()))
    key = f"{stamp}\n{SECRET}".encode()
    mac = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
    assert (content["timestamp"], content["sign"]) == (stamp, mac)
    assert content["msg_type"] == "text"
    assert content["content"]["text"].startswith("A test\nNotices of acme reach this place.\n")
    assert url == "https://open.example.com/robot?key=1"


@pytest.mark.django_db
def test_dingtalk_signs_in_the_url(acme: Tenant) -> None:
    url, content = _post(acme, TargetKind.DINGTALK, SECRET)
    query = parse_qs(urlsplit(url).query)
    ms = query["timestamp"][0]
    mac = hmac.new(SECRET.encode(), f"{ms}\n{SECRET}".encode(), hashlib.sha256).digest()
    assert query["sign"] == [base64.b64encode(mac).decode()]
    assert query["key"] == ["1"]
    assert int(ms) == AT.timestamp() * 1000
    assert content["msgtype"] == "text"
    assert "A test" in content["text"]["content"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [TargetKind.FEISHU, TargetKind.DINGTALK])
def test_without_a_secret_nothing_is_signed(kind: TargetKind, acme: Tenant) -> None:
    url, content = _post(acme, kind)
    assert "sign" not in content
    assert url == "https://open.example.com/robot?key=1"


@pytest.mark.django_db
def test_wecom_and_slack_take_plain_text(acme: Tenant) -> None:
    assert "A test" in _post(acme, TargetKind.WECOM)[1]["text"]["content"]
    target, _none = new_target(acme, "https://hooks.example.com/", TargetKind.SLACK, name="slack")
    words = message(Notice(tenant=acme, event="target.failing", facts={"name": "<a&b>"}), "en")
    content = orjson.loads(KINDS["slack"].post(words, target, AT).body)
    assert "&lt;a&amp;b&gt;" in content["text"]


@pytest.mark.django_db
def test_a_service_that_checks_no_signature_takes_no_secret(acme: Tenant) -> None:
    with pytest.raises(ValidationError):
        new_target(acme, "https://hooks.example.com/", TargetKind.SLACK, secret=SECRET)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("feishu", b'{"code": 0, "msg": "success"}', ""),
        ("feishu", b'{"code": 19021, "msg": "sign match fail"}', "refused_19021"),
        ("dingtalk", b'{"errcode": 0, "errmsg": "ok"}', ""),
        ("dingtalk", b'{"errcode": 310000}', "refused_310000"),
        ("wecom", b'{"errcode": 93000}', "refused_93000"),
        ("wecom", b"<html>", "wrong_answer"),
        ("slack", b"ok", ""),
        ("webhook", b"", ""),
    ],
)
def test_a_robot_refuses_with_200(kind: str, body: bytes, reason: str) -> None:
    assert KINDS[kind].refusal(Answer(200, body)) == reason


@pytest.mark.django_db
def test_a_refusal_of_a_robot_is_tried_again(acme: Tenant, service: Service) -> None:
    target, _none = new_target(acme, service.url, TargetKind.WECOM)
    service.answer = b'{"errcode": 45009}'
    notice = send_test(target, by="test")
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.reason) == (NoticeState.WAITING, "refused_45009")


def test_each_kind_has_a_file() -> None:
    assert set(KINDS) == set(TargetKind.values)
