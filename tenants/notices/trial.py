"""Tests of targets: real notices that people send themselves, one in EVERY_S at each target.

Each goes out at once, so that without a limit a person could flood a host through the platform.
Without Redis nothing is counted.
"""

from hashlib import sha256
from uuid import uuid4

from django.core.cache import cache

from tenants.models import Notice, NoticeTarget
from tenants.notices.events import TEST

EVERY_S = 10  # between two tests of a person at a target


class TooManyTests(Exception):
    """The person has just sent a test to this target."""

    wait_s = EVERY_S


def send_test(target: NoticeTarget, *, by: str) -> Notice:
    """Send one real, signed notice to a target. `by` is not on it. Raises TooManyTests."""
    person = sha256(by.encode()).hexdigest()
    if not cache.add(f"notice-test:{target.pk}:{person}", 1, EVERY_S):
        raise TooManyTests
    notice = Notice(
        tenant=target.tenant, target=target, event=TEST, occasion=f"test:{uuid4()}", facts={}
    )
    notice.save(force_insert=True)
    return notice
