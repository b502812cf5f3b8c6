"""A switch for tests: the ORM forgets to ask for the tenant, as a bug in a view would."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Q
from django.db.models.query import QuerySet

# Not `tenant__name`: it says which of one's own memberships an address means.
SCOPING = frozenset(
    {
        "tenant",
        "tenant_id",
        "members__user",
        "member",
        "member__user",
        "conversation__member",
    }
)


@contextmanager
def unscoped() -> Iterator[list[str]]:
    """Filters by tenant or by membership are left out. Yields the names of what was left out."""
    stripped: list[str] = []
    original = QuerySet._filter_or_exclude_inplace  # type: ignore[attr-defined]

    def forgetful(self: Any, negate: bool, args: Any, kwargs: dict[str, Any]) -> None:
        stripped.extend(SCOPING & kwargs.keys())
        kept = {name: value for name, value in kwargs.items() if name not in SCOPING}
        original(self, negate, tuple(_bare(arg, stripped) for arg in args), kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuerySet, "_filter_or_exclude_inplace", forgetful)
        yield stripped


def _bare(condition: Any, stripped: list[str]) -> Any:
    if not isinstance(condition, Q):
        return condition
    bare = Q(_connector=condition.connector, _negated=condition.negated)
    for child in condition.children:
        if isinstance(child, tuple) and child[0] in SCOPING:
            stripped.append(child[0])
        else:
            bare.children.append(_bare(child, stripped))
    return bare
