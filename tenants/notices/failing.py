"""A notice that a target cannot be reached."""

from django.utils import timezone

from tenants.models import Notice
from tenants.notices.outbox import announce
from tenants.notices.rules import holders, operators
from tenants.roles import Permission

EVENT = "target.failing"


def tell_of_failing(notice: Notice) -> None:
    """Tell those who manage a target that a notice did not reach it, once a day."""
    target = notice.target
    if target is None or notice.event == EVENT:
        return
    manage = Permission.MANAGE_NOTICES
    announce(
        EVENT,
        f"failing:{target.pk}:{timezone.now():%Y-%m-%d}",
        tenant_id=target.tenant_id,
        people=holders(manage, target.tenant_id) if target.tenant_id else operators(),
        facts={"target": str(target.pk), "name": target.name},
        except_target=target.pk,
    )
