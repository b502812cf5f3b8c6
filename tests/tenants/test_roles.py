"""The table of who may do what, as the customer reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.roles import (
    DUTIES,
    HOLDERS,
    PERMISSIONS,
    Permission,
    Profile,
    Role,
    matrix,
    may,
    operator_permissions,
    permissions,
)

pytestmark = pytest.mark.unit


def test_every_role_stands_in_the_table() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_owners_may_do_everything_and_administrators_all_but_security() -> None:
    assert all(may(Role.OWNER, permission) for permission in Permission)
    beyond = [permission for permission in Permission if not may(Role.ADMIN, permission)]
    assert beyond == [
        Permission.ANSWER_DIALOGUES,
        Permission.REVIEW_DECISIONS,
        Permission.MANAGE_SECURITY,
        Permission.VIEW_PROMPTS,
        Permission.MANAGE_RETENTION,
    ]


def test_members_only_chat() -> None:
    assert [p for p in Permission if may(Role.MEMBER, p)] == [Permission.CHAT]


def test_reviewers_see_and_review_decisions_and_nothing_else() -> None:
    theirs = {p for p in Permission if may(Role.REVIEWER, p)}
    assert theirs == {
        Permission.VIEW_DECISIONS,
        Permission.REVIEW_DECISIONS,
        Permission.VIEW_PEOPLE,
    }


def test_agents_answer_dialogues_and_nothing_else() -> None:
    assert [p for p in Permission if may(Role.AGENT, p)] == [Permission.ANSWER_DIALOGUES]


def test_auditors_look_and_keep_and_touch_nothing() -> None:
    theirs = {p for p in Permission if may(Role.AUDITOR, p)}
    more = {p for p in theirs if not p.endswith(":view")}
    assert more == {Permission.EXPORT_AUDIT, Permission.MANAGE_HOLDS}
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


# Duties kept apart (mlps-l3) ---------------------------------------------------------------------
def held_by(holder: str, profile: str) -> frozenset[Permission]:
    return operator_permissions(profile) if holder == "operator" else permissions(holder, profile)


@given(st.sampled_from(HOLDERS), st.sampled_from(Permission), st.sampled_from(Permission))
def test_nobody_holds_permissions_of_two_duties(
    holder: str, one: Permission, other: Permission
) -> None:
    held = held_by(holder, Profile.MLPS)
    if {one, other} <= held and one in DUTIES and other in DUTIES:
        assert DUTIES[one] == DUTIES[other]


@given(st.sampled_from(HOLDERS))
def test_the_profile_only_takes_away(holder: str) -> None:
    assert held_by(holder, Profile.MLPS) <= held_by(holder, Profile.ASVS)


@pytest.mark.parametrize("profile", Profile)
def test_every_permission_has_somebody_in_the_tenant(profile: Profile) -> None:
    assert frozenset().union(*(permissions(role, profile) for role in Role)) == set(Permission)


@pytest.mark.parametrize("profile", Profile)
def test_the_matrix_says_what_the_code_does(profile: Profile) -> None:
    rows = matrix(profile)
    assert [row.permission for row in rows] == list(Permission)
    for row in rows:
        assert row.duty == DUTIES.get(row.permission)
        said = dict(zip(HOLDERS, row.held, strict=True))
        assert said == {h: row.permission in held_by(h, profile) for h in HOLDERS}
