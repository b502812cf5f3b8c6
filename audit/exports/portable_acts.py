"""A person's recorded acts other than requests, for their export.

It includes no holds, which may be secret, and no reasons given by other people: only the details
listed here.
"""

from collections.abc import Iterator
from uuid import UUID

from audit.actions import Action
from audit.exports.portability import Portable, Row, register
from audit.models import Event

ACTIONS = (
    Action.ACCESS_DENIED,
    Action.API_KEY_CHANGE,
    Action.API_KEY_CREATE,
    Action.API_KEY_REVOKE,
    Action.API_KEY_ROTATE,
    Action.AUDIT_SEARCH,
    Action.BATCH_CANCEL,
    Action.BATCH_CREATE,
    Action.BATCH_END,
    Action.BATCH_PAUSE,
    Action.BATCH_RESUME,
    Action.CONVERSATION_CREATE,
    Action.CONVERSATION_DELETE,
    Action.DELETION_APPROVE,
    Action.DELETION_FINISH,
    Action.DELETION_REFUSE,
    Action.DELETION_REQUEST,
    Action.FILE_CREATE,
    Action.FILE_DELETE,
    Action.FILE_READ,
    Action.KEY_ERASE,
    Action.LINK_CREATE,
    Action.LINK_REVOKE,
    Action.LINK_USE,
    Action.MEMBER_ADD,
    Action.MEMBER_REMOVE,
    Action.MEMBER_ROLE,
    Action.MFA_ADD,
    Action.MFA_REMOVE,
    Action.MFA_USE_RECOVERY,
    Action.PASSWORD_CHANGE,
    Action.PROMPT_VIEW,
    Action.REQUEST_REFUSED,
    Action.SESSION_DENIED,
    Action.SESSION_END,
    Action.SESSION_LOCKED,
    Action.SESSION_LOGIN,
    Action.SESSION_LOGOUT,
    Action.SUBJECT_EXPORT,
    Action.TEAM_JOIN,
    Action.TEAM_LEAVE,
    Action.TEXTS_LOCK,
    Action.TEXTS_RELEASE,
)
WORDS = """again asked batch bytes conversation count download due_at export factor factors file how
    keys left limit member mode purpose refusal request role route sessions tier used why"""
OF_DETAIL = frozenset(WORDS.split())


def _acts(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    events = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id, action__in=ACTIONS)
    rows = events.order_by("at", "id").values("at", "action", "success", "client_net", "detail")
    for row in rows.iterator():
        detail = {name: value for name, value in row["detail"].items() if name in OF_DETAIL}
        yield {**row, "detail": detail}


def register_own() -> None:
    register(Portable("acts", _acts))
