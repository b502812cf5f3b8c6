"""Checks of accounts: second factors, unsafe passwords, and people who stay away for long."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.hashers import identify_hasher, is_password_usable
from django.db.models import Q, QuerySet

from console.compliance.check import Check, Outcome, Problem
from console.compliance.queries import DAYS, people, since
from console.compliance.texts import Text
from tenants.accounts.second_factor import BOUND_ROLES, FACTORS, OPTIONAL
from tenants.models import Tenant, User


def _must_have_factor(tenant: Tenant | None) -> QuerySet[User]:
    """Returns all who must have a second factor, like second_factor.bound() for one person."""
    if tenant:
        users = people(None).filter(memberships__tenant=tenant, memberships__role__in=BOUND_ROLES)
    else:
        users = people(None).filter(Q(is_operator=True) | Q(memberships__role__in=BOUND_ROLES))
    return users.distinct()


def _second_factors(tenant: Tenant | None) -> Outcome:
    must = _must_have_factor(tenant)
    having = Authenticator.objects.filter(type__in=FACTORS).values("user_id")
    bound, enrolled = must.count(), must.filter(pk__in=having).count()
    figures = {
        "must": bound,
        "enrolled": enrolled,
        "others_enrolled": people(tenant).filter(pk__in=having).count() - enrolled,
        "enforced": settings.SECOND_FACTOR != OPTIONAL,
    }
    if not figures["enforced"]:
        return Outcome("optional", figures)
    return Outcome("missing" if enrolled < bound else "", figures)


def _default_accounts(tenant: Tenant | None) -> Outcome:
    users = people(tenant)
    passwords = users.values_list("password", flat=True)
    unsafe = sum(not _is_safe(encoded) for encoded in passwords)
    figures = {
        "people": len(passwords),
        "unsafe_passwords": unsafe,
        "superusers": users.filter(Q(is_superuser=True)).count(),
    }
    if unsafe:
        return Outcome("unsafe", figures)
    return Outcome("superuser" if figures["superusers"] else "", figures)


def _is_safe(encoded: str) -> bool:
    """Returns whether the password is hashed by one of the platform's hashers, or unusable."""
    if not encoded:
        return False
    if not is_password_usable(encoded):
        return True
    try:
        identify_hasher(encoded)
    except ValueError:
        return False
    return True


def _dormant(tenant: Tenant | None) -> Outcome:
    long_ago = since(DAYS)
    never = Q(last_login=None, created_at__lt=long_ago)
    users = people(tenant)
    dormant = users.filter(Q(last_login__lt=long_ago) | never).count()
    figures = {"people": users.count(), "dormant": dormant, "after_days": DAYS}
    return Outcome("dormant" if dormant else "", figures)


CHECKS = (
    Check(
        "second_factors",
        Text("Second factors of those who must have one", "必须启用双因素者的覆盖情况"),
        Text(
            "Counts operators, owners, administrators and auditors, and those of them with an "
            "authenticator app or a security key.",
            "统计平台运维人员、所有者、管理员与审计员，以及其中已启用验证器应用或安全密钥的人数。",
        ),
        _second_factors,
        {
            "optional": Problem(
                Text(
                    "Second factors are optional on this installation (FOREBAY_MFA=optional).",
                    "本安装将双因素设为可选（FOREBAY_MFA=optional）。",
                ),
                Text(
                    "Remove FOREBAY_MFA and restart: whoever must have one is led to it at the "
                    "next page.",
                    "移除 FOREBAY_MFA 并重启：必须启用者会在打开下一页时被引导完成设置。",
                ),
            ),
            "missing": Problem(
                Text(
                    "Somebody who must have a second factor has none yet.",
                    "有必须启用双因素的人员尚未启用。",
                ),
                Text(
                    "They can do nothing until they have one: nothing opens for them. See Members, "
                    "and remove accounts that nobody uses.",
                    "这些人在启用前无法打开任何页面。请在成员页查看，并移除无人使用的账户。",
                ),
            ),
        },
    ),
    Check(
        "default_accounts",
        Text("No blank or default passwords, no superusers", "无空口令、默认口令与超级用户"),
        Text(
            "Reads every account's password hash: blank ones, clear ones and ones by a hash that "
            "the platform does not use are counted. Accounts come into being by one-time links "
            "only.",
            "读取每个账户的口令哈希：统计空口令、明文口令以及非平台所用哈希的口令。"
            "账户只能通过一次性链接创建。",
        ),
        _default_accounts,
        {
            "unsafe": Problem(
                Text(
                    "An account has a blank password, or one that is not hashed properly.",
                    "有账户的口令为空，或未正确哈希。",
                ),
                Text(
                    "Send its person a reset link (Members), or remove the account.",
                    "向该人员发送重置链接（成员页），或移除该账户。",
                ),
            ),
            "superuser": Problem(
                Text(
                    "An account is marked as a superuser, which Forebay never does.",
                    "有账户被标记为超级用户，而 Forebay 从不这样做。",
                ),
                Text(
                    "Find out who set it in the database, and take it away.",
                    "查明是谁在数据库中设置，并予以取消。",
                ),
            ),
        },
    ),
    Check(
        "dormant_accounts",
        Text("Accounts that nobody uses", "长期不用的账户"),
        Text(
            "Counts the people who have not signed in for 90 days.",
            "统计 90 天未登录的人员。",
        ),
        _dormant,
        {
            "dormant": Problem(
                Text(
                    "Somebody has not signed in for more than 90 days.",
                    "有人员超过 90 天未登录。",
                ),
                Text(
                    "Remove those who have left (Members). Whoever still belongs there only has "
                    "to sign in.",
                    "移除已离开的人员（成员页）；仍在职者只需登录一次。",
                ),
            )
        },
    ),
)
