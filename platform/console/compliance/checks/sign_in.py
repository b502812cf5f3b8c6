"""Checks that sessions end in time, and that guessing passwords locks an account."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.module_loading import import_string

from audit.actions import Action
from console.account import lockout
from console.account.lockout import Lockout
from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.queries import acts
from console.compliance.texts import Text
from tenants.accounts.sessions import ABSOLUTE_S, IDLE_S
from tenants.models import Tenant
from tenants.roles import Profile

MIDDLEWARE = "console.account.session_limits.SessionLimits"
MOST_IDLE_S, MOST_TRIES, LEAST_REST = 30 * 60, 5, timedelta(minutes=30)


def _sessions(_tenant: Tenant | None) -> Outcome:
    too_long = timezone.now() + timedelta(seconds=ABSOLUTE_S, minutes=5)
    lasting = Session.objects.filter(expire_date__gt=too_long).count()
    figures = {
        "idle_minutes_mlps": IDLE_S[Profile.MLPS] // 60,
        "idle_minutes_asvs": IDLE_S[Profile.ASVS] // 60,
        "absolute_hours": ABSOLUTE_S // 3600,
        "lasting_longer": lasting,
    }
    if MIDDLEWARE not in settings.MIDDLEWARE or IDLE_S[Profile.MLPS] > MOST_IDLE_S:
        return Outcome("no_limit", figures)
    return Outcome("lasting" if lasting else "", figures)


def _lockouts(tenant: Tenant | None) -> Outcome:
    counts = acts(tenant)
    figures: dict[str, object] = {
        "tries": lockout.MOST,
        "rest_minutes": int(lockout.REST.total_seconds() // 60),
        "locked": counts[Action.SESSION_LOCKED],
        "refused_sign_ins": counts[Action.SESSION_DENIED],
        "signed_in": counts[Action.SESSION_LOGIN],
    }
    if tenant is None:
        figures["counting_now"] = AccessAttempt.objects.count()
        figures["sessions"] = UserSession.objects.count()
    return Outcome("" if _lockout_works() else "no_lock", figures)


def _lockout_works() -> bool:
    handler = import_string(settings.AXES_HANDLER)
    installed = "axes.backends.AxesStandaloneBackend" in settings.AUTHENTICATION_BACKENDS
    strict = lockout.MOST <= MOST_TRIES and lockout.REST >= LEAST_REST
    return installed and strict and issubclass(handler, Lockout)


CHECKS = (
    Check(
        "sessions",
        Text("Sessions end by themselves", "会话自动结束"),
        Text(
            "Reads the limits that the sign-in middleware applies, and looks for sessions that "
            "would last longer.",
            "读取登录中间件实施的时限，并查找有效期超限的会话。",
        ),
        _sessions,
        {
            "no_limit": Problem(
                Text("Idle sessions are not ended in time.", "空闲会话未按时结束。"),
                Text(
                    "The settings have been changed: put SessionLimits and its times back.",
                    "设置已被改动：请恢复 SessionLimits 及其时限。",
                ),
            ),
            "lasting": Problem(
                Text(
                    "A session would last longer than twelve hours.",
                    "有会话的有效期超过十二小时。",
                ),
                Text(
                    "It was not made by signing in. Delete it from django_session, and find out "
                    "how it came there.",
                    "该会话并非由登录产生。请从 django_session 中删除，并查明来源。",
                ),
            ),
        },
        Reach.GENERAL,
    ),
    Check(
        "lockouts",
        Text("Lock after wrong passwords", "口令错误锁定"),
        Text(
            "Reads the rule in force, and counts locks and refused sign-ins of the last 90 days.",
            "读取生效的规则，并统计近 90 天的锁定与被拒登录。",
        ),
        _lockouts,
        {
            "no_lock": Problem(
                Text(
                    "Wrong passwords do not lead to a lock of half an hour after five.",
                    "连续五次口令错误后没有锁定半小时。",
                ),
                Text(
                    "The settings have been changed: put AXES_HANDLER and the sign-in backends "
                    "back.",
                    "设置已被改动：请恢复 AXES_HANDLER 与登录后端。",
                ),
            )
        },
    ),
)
