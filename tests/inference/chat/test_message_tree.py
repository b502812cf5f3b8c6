"""The order of messages: branches, and conversations from before there were any."""

from uuid import UUID, uuid4

import pytest

from inference.models.chat.message_tree import MessageTree, Node

pytestmark = pytest.mark.unit
A, B, C, D, E, F = (uuid4() for _ in range(6))


def tree(*nodes: tuple[UUID, UUID | None] | tuple[UUID, UUID | None, bool]) -> MessageTree:
    return MessageTree(Node(node[0], node[1], len(node) > 2) for node in nodes)


def test_a_conversation_without_branches_is_in_the_order_of_time() -> None:
    older = tree((A, None), (B, None), (C, None))
    assert older.shown(None) == [A, B, C]
    assert older.path(B) == [A, B]
    assert older.siblings(B) == [B]


def test_an_empty_conversation_shows_nothing() -> None:
    assert tree().shown(None) == []


def test_the_branch_goes_through_its_leaf_and_on_with_the_newest() -> None:
    branched = tree((A, None, True), (B, A), (C, B), (D, A), (E, D), (F, D))
    assert branched.shown(None) == [A, D, F]
    assert branched.shown(B) == [A, B, C]
    assert branched.shown(E) == [A, D, E]
    assert branched.siblings(F) == [E, F]
    assert branched.siblings(B) == [B, D]


def test_first_questions_may_have_siblings() -> None:
    edited = tree((A, None, True), (B, A), (C, None, True), (D, C))
    assert edited.shown(None) == [C, D]
    assert edited.shown(B) == [A, B]
    assert edited.siblings(A) == [A, C]


def test_an_older_version_goes_on_where_the_newest_message_is() -> None:
    mixed = tree((A, None, True), (B, A), (C, A), (D, None), (E, None))
    assert mixed.shown(C) == [A, C, D, E]
    assert mixed.shown(B) == [A, B]


def test_a_leaf_or_parent_that_is_not_there_changes_nothing() -> None:
    assert tree((A, None), (B, uuid4())).shown(uuid4()) == [A, B]
