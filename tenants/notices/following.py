"""Makes notices of acts on the audit trail, in the order in which the sealer reads it.

The trail is durable with each act. So no act waits for a notice, and none is forgotten: notices and
the mark of how far the trail was read are one transaction.
"""

from audit.models import Event
from infrastructure.postgres.queries import rows, value
from tenants.models import NoticeMark
from tenants.notices.outbox import announce
from tenants.notices.rules import RULES
from tenants.scope import system_scope

MOST = 500  # acts of a round
_LOCK = 0x4E4F5443  # "NOTC": one follower at a time
_IN_ORDER = "set local enable_seqscan = off; set local enable_bitmapscan = off"
_HORIZON = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_NEXT = """
    select * from audit_event
    where (xid, id) > (%s, %s) and xid < %s and action = any(%s)
    order by xid, id limit %s"""


def follow() -> None:
    while follow_round() == MOST:
        pass


def follow_round() -> int:
    """Returns how many acts it has read; 0 also while another process follows."""
    with system_scope():
        if not value("select pg_try_advisory_xact_lock(%s)", [_LOCK]):
            return 0
        horizon = value(_HORIZON)
        mark = NoticeMark.objects.first()
        if mark is None or mark.xid > horizon:  # a new installation, or one that was restored
            NoticeMark.objects.update_or_create(id=1, defaults={"xid": horizon, "event_id": 0})
            return 0
        rows(_IN_ORDER)
        values = [mark.xid, mark.event_id, horizon, list(RULES), MOST]
        acts = list(Event.objects.raw(_NEXT, values))
        for act in acts:
            announce_act(act)
        is_behind = len(acts) == MOST
        mark.xid, mark.event_id = (acts[-1].xid, acts[-1].id) if is_behind else (horizon, 0)
        mark.save()
        return len(acts)


def announce_act(act: Event) -> None:
    """Write the notices of one act, none if no rule names it."""
    rule = RULES.get(act.action)
    if rule is None or not rule.applies(act):
        return
    at = act.at.isoformat()
    announce(
        rule.event,
        rule.once(act),
        tenant_id=act.tenant_id,
        people=rule.people(act),
        facts={"at": at, **{name: act.detail.get(name) for name in rule.facts}},
        by_mail={"network": act.client_net} if rule.names_network else None,
    )
