"""Makes a version of recorded conversations: where the tenant allows it, with a reason."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import checked_reason
from inference.data_sets.conversations import Selection
from inference.models import (
    ConversationUse,
    DataSet,
    DataSetFormat,
    DataSetSource,
    DataSetState,
    DataSetVersion,
)


class NotAllowed(Exception):
    """The tenant does not let its recorded conversations be used."""


def select(data_set: DataSet, selection: Selection, *, by: str, reason: str) -> DataSetVersion:
    """Add a version that is read from recorded conversations, and record the reason.

    Its caller checks that the person may read them. Raises NotAllowed, ValidationError.
    """
    reason = checked_reason(reason)
    if selection.since >= selection.until or not selection.origins:
        raise ValidationError(_("The period is empty, or nothing is chosen."))
    if not ConversationUse.of(data_set.tenant).allowed:
        raise NotAllowed
    with transaction.atomic():
        version = data_set.add_version(
            by=by,
            source=DataSetSource.CONVERSATIONS,
            form=DataSetFormat.CHATS,
            state=DataSetState.IMPORTING,
            selection=selection.as_json(),
        )
        version.record(Action.DATA_SET_READ, by, reason=reason, selection=version.selection)
    return version
