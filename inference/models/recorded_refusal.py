"""Refusals that are put on record, though what they refuse is undone."""

from django.core.exceptions import ValidationError


class RecordedRefusal(ValidationError):
    """Whoever undoes the refused act calls `record` then, in a transaction that commits.

    The management API (`console/api/transactional_view.py`) and the pages
    (`console/reported_acts.py`) do so for all of them.
    """

    def record(self) -> None:
        raise NotImplementedError
