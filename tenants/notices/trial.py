from uuid import uuid4

from tenants.models import Notice, NoticeTarget
from tenants.notices.events import TEST


def send_test(target: NoticeTarget, *, by: str) -> Notice:
    """Send one real, signed notice to a target. `by` is not on it."""
    notice = Notice(
        tenant=target.tenant, target=target, event=TEST, occasion=f"test:{uuid4()}", facts={}
    )
    notice.save(force_insert=True)
    return notice
