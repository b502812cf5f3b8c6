"""Checks of what is refused: malformed requests, and requests over a limit."""

from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.queries import DAYS
from console.compliance.texts import Text
from inference.engines.base import Engine, EngineConfig
from inference.errors import BadRequest
from inference.validation.requests import check_chat, model_of, parsed
from tenants.models import Refusal, Tenant
from tenants.models.refusal import RefusedBy

BAD = (
    b"",
    b"{",
    b"[]",
    b'{"model": 1}',
    b'{"model": "m"}',
    b'{"model": "m", "messages": "hello"}',
    b'{"model": "m", "messages": [1]}',
    b'{"model": "m", "messages": [{"role": "root", "content": "x"}]}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": "hot"}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 99}',
    b'{"x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
)


def _input(_tenant: Tenant | None) -> Outcome:
    engine = Engine(EngineConfig(name="m", kind="openai", url="http://127.0.0.1:9", model="m"))
    refused = sum(_is_refused(body, engine) for body in BAD)
    figures = {"attempts": len(BAD), "refused": refused}
    return Outcome("" if refused == len(BAD) else "taken", figures)


def _is_refused(raw: bytes, engine: Engine) -> bool:
    try:
        body = parsed(raw)
        model_of(body)
        check_chat(body, engine)
    except BadRequest:
        return True
    return False


def _refusals(tenant: Tenant | None) -> Outcome:
    rows = Refusal.objects.filter(last_at__gte=timezone.now() - timedelta(days=DAYS))
    if tenant:
        rows = rows.filter(tenant=tenant)
    counts = dict(rows.order_by().values_list("tier").annotate(number=Sum("count")))
    figures = {f"refused_{tier}": counts.get(tier, 0) for tier in RefusedBy.values}
    return Outcome("", {"days": DAYS, **figures})


CHECKS = (
    Check(
        "input",
        Text("Bad input is refused", "非法输入被拒绝"),
        Text(
            "Puts a dozen malformed requests before the code that reads every request.",
            "将十余个畸形请求提交给读取所有请求的同一代码。",
        ),
        _input,
        {
            "taken": Problem(
                Text("A malformed request was accepted.", "畸形请求被接受。"),
                Text(
                    "This is a fault of the program: report it with the version that you run.",
                    "这是程序缺陷：请附上版本号报告。",
                ),
            )
        },
        Reach.GENERAL,
    ),
    Check(
        "refusals",
        Text("Requests refused by limits", "被限额拒绝的请求"),
        Text(
            "Counts the refusals of each limit and quota in the last 90 days.",
            "统计近 90 天各类限流与配额的拒绝次数。",
        ),
        _refusals,
        {},
    ),
)
