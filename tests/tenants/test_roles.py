"""The table of who may do what, as the customer reads it."""

import pytest

from tenants.roles import PERMISSIONS, Permission, Role, may

pytestmark = pytest.mark.unit


def test_every_role_stands_in_the_table() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_owners_and_administrators_may_do_everything() -> None:
    for role in (Role.OWNER, Role.ADMIN):
        assert all(may(role, permission) for permission in Permission)


def test_members_only_chat() -> None:
    assert [p for p in Permission if may(Role.MEMBER, p)] == [Permission.CHAT]


def test_auditors_look_and_touch_nothing() -> None:
    theirs = {p for p in Permission if may(Role.AUDITOR, p)}
    assert all(p.endswith(":view") for p in theirs)
    assert Permission.VIEW_AUDIT in theirs


def test_only_those_who_manage_or_audit_see_the_audit_trail() -> None:
    may_see = {role for role in Role if may(role, Permission.VIEW_AUDIT)}
    assert may_see == {Role.OWNER, Role.ADMIN, Role.AUDITOR}


def test_developers_manage_keys_but_not_people() -> None:
    assert may(Role.DEVELOPER, Permission.MANAGE_KEYS)
    assert not may(Role.DEVELOPER, Permission.MANAGE_MEMBERS)


def test_an_unknown_role_may_nothing() -> None:
    with pytest.raises(ValueError, match="guest"):
        may("guest", Permission.CHAT)
