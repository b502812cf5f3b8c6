"""The order of a conversation's messages: a tree, of which a page shows one branch.

A message without a parent follows the one before it in time. So read conversations from before
there were branches, and what a process of an older version adds during an upgrade: neither needs a
change of its rows.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID


class Node(NamedTuple):
    id: UUID
    parent: UUID | None
    is_first: bool


class MessageTree:
    def __init__(self, nodes: Iterable[Node]) -> None:
        """Read nodes in the order of time: no message comes before its parent."""
        self._parents: dict[UUID, UUID | None] = {}
        self._children: dict[UUID | None, list[UUID]] = {}
        before: UUID | None = None
        for node in nodes:
            known = node.parent if node.parent in self._parents else before
            parent = None if node.is_first else known
            self._parents[node.id] = parent
            self._children.setdefault(parent, []).append(node.id)
            before = node.id

    def __contains__(self, message_id: UUID) -> bool:
        return message_id in self._parents

    def path(self, end: UUID) -> list[UUID]:
        """Returns the branch from its first message to this one."""
        path: list[UUID] = []
        message: UUID | None = end
        while message is not None:
            path.append(message)
            message = self._parents[message]
        return path[::-1]

    def shown(self, leaf: UUID | None) -> list[UUID]:
        """Returns the branch through `leaf`, which goes on with the newest messages."""
        branch = self.path(leaf) if leaf is not None and leaf in self._parents else []
        while following := self._children.get(branch[-1] if branch else None):
            branch.append(following[-1])
        return branch

    def parent(self, message_id: UUID) -> UUID | None:
        return self._parents[message_id]

    def children(self, message_id: UUID) -> list[UUID]:
        """Returns the messages that follow this one, oldest first."""
        return self._children.get(message_id, [])

    def siblings(self, message_id: UUID) -> list[UUID]:
        """Returns the messages that follow the same one, oldest first, with itself."""
        return self._children[self._parents[message_id]]
