"""Checks of passwords: the security profile, and its policy tried out with weak passwords."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from console.account.password_policy import POLICIES
from console.compliance.check import Check, Outcome, Problem
from console.compliance.queries import people
from console.compliance.texts import Text
from tenants.models import Tenant, User
from tenants.roles import Profile

_NO_PASSWORD = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
WEAK = {
    Profile.ASVS: ("Sh0rt!pass", "qwertyuiop12"),
    Profile.MLPS: ("Sh0rt!pass", "qwertyuiop12", "all small letters", "NoDigitsInHere!"),
}


def _profile_of(tenant: Tenant | None) -> Profile:
    return Profile(tenant.profile if tenant else settings.PROFILE)


def _profile(tenant: Tenant | None) -> Outcome:
    figures: dict[str, Any] = {"profile": _profile_of(tenant)}
    if tenant is None:
        mlps = Tenant.objects.filter(profile=Profile.MLPS).count()
        figures |= {"tenants_mlps": mlps, "tenants_others": Tenant.objects.count() - mlps}
    return Outcome("" if figures["profile"] == Profile.MLPS else "not_mlps", figures)


def _passwords(tenant: Tenant | None) -> Outcome:
    profile = _profile_of(tenant)
    policy = POLICIES[profile]
    accepted = sum(_is_accepted(word, profile) for word in WEAK[profile])
    overdue, of = _overdue(tenant)
    figures = {
        "profile": profile,
        "shortest": policy.shortest,
        "classes": policy.classes,
        "good_for_days": policy.good_for_days,
        "not_reused": policy.not_reused,
        "weak_tried": len(WEAK[profile]),
        "weak_taken": accepted,
        "people": of,
        "overdue": overdue,
        "share_in_time": round((of - overdue) * 100 / of, 1) if of else 100.0,
    }
    return Outcome("weak_taken" if accepted else "", figures)


def _is_accepted(password: str, profile: Profile) -> bool:
    somebody = User()
    somebody.joining = (profile,)
    try:
        validate_password(password, somebody)
    except ValidationError:
        return False
    return True


def _overdue(tenant: Tenant | None) -> tuple[int, int]:
    """Returns how many people bound by mlps-l3 have too old a password, and how many there are."""
    bound = Q(memberships__tenant__profile=Profile.MLPS)
    if tenant is None and settings.PROFILE == Profile.MLPS:
        bound |= Q(is_operator=True)
    with_password = people(tenant).filter(bound).exclude(_NO_PASSWORD).distinct()
    days = POLICIES[Profile.MLPS].good_for_days or 0
    late = Q(password_changed_at__lte=timezone.now() - timedelta(days=days))
    return with_password.filter(late).count(), with_password.count()


CHECKS = (
    Check(
        "profile",
        Text("Security profile in force", "生效的安全配置"),
        Text(
            "Reads which profile binds: mlps-l3 (complex passwords, changed every 90 days, idle "
            "after 30 minutes, duties kept apart) or asvs-5, which forbids forced changes.",
            "读取生效的配置：mlps-l3（复杂口令、90 天更换、30 分钟空闲退出、三权分立）"
            "或 asvs-5（禁止强制定期更换口令）。",
        ),
        _profile,
        {
            "not_mlps": Problem(
                Text(
                    "The profile in force is not that of MLPS 2.0 level 3.",
                    "生效的配置不是等保 2.0 三级。",
                ),
                Text(
                    "Where MLPS is owed: choose MLPS 2.0 level 3 in the tenant's settings; for "
                    "operators, start with FOREBAY_PROFILE=mlps-l3.",
                    "如须满足等保：在租户设置中选择“等保 2.0 三级”；"
                    "运维人员则以 FOREBAY_PROFILE=mlps-l3 启动平台。",
                ),
            )
        },
    ),
    Check(
        "passwords",
        Text("Password rules, tried out", "口令规则实测"),
        Text(
            "Puts weak passwords before the validators that every page uses, and counts passwords "
            "that are overdue for a change.",
            "将弱口令提交给各页面共用的校验器，并统计逾期未更换的口令。",
        ),
        _passwords,
        {
            "weak_taken": Problem(
                Text("A weak password was accepted.", "弱口令被接受。"),
                Text(
                    "AUTH_PASSWORD_VALIDATORS has been changed: put the shipped settings back.",
                    "AUTH_PASSWORD_VALIDATORS 已被改动：请恢复出厂设置。",
                ),
            )
        },
    ),
)
