"""Delivers the outbox: at least once, tried for a day with growing pauses.

A receiver's `Retry-After` makes a pause longer, up to LONGEST_PAUSE_S, and never shorter.

A notice is claimed for LEASE before it is sent. If the process dies then, it is sent once more,
under the same id: `webhook-id` of a webhook, Message-ID of a mail.
"""

import asyncio
import logging
import random
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.keys.cipher import Unreadable
from infrastructure.postgres.queries import rows
from infrastructure.webhooks import posting
from tenants.models import Notice, NoticeState, NoticeTarget
from tenants.notices import links, mail
from tenants.notices.events import ALWAYS_MAILED, EVENTS
from tenants.notices.failing import tell_of_failing
from tenants.notices.mail import Outcome
from tenants.notices.targets import KINDS
from tenants.notices.wording import message

log = logging.getLogger(__name__)
T = TypeVar("T")
AT_ONCE, OF_A_TARGET = 20, 4  # notices that are sent at the same time
LEASE = timedelta(minutes=3)
GIVES_UP_AFTER = timedelta(days=1)
FIRST_PAUSE_S, FACTOR, LONGEST_PAUSE_S = 10.0, 3, 4 * 3600.0
LARGEST_ANSWER = 16 * 1024
_BUSY_S = 60.0
_CLOSING_S = 0.1  # aborted connections are gone some rounds of the loop later
_RESET_WITHIN = timedelta(hours=1)
_GONE = 410
_FAULT = "fault"  # an error of ours: that notice waits, and no other because of it
# So that a target that is slow or away does not keep others waiting.
_CLAIM = """
    select id from (
        select id, due_at, row_number() over (
            partition by coalesce(target_id, id) order by due_at) as position
        from tenants_notice
        where state = 'waiting' and due_at <= %s and event <> %s) due
    where position <= %s order by due_at limit %s"""


def deliver() -> None:
    """Send what is due."""
    began = time.monotonic()
    for notice in links.waiting_resets():
        _resolve(notice)
    while time.monotonic() - began < _BUSY_S and (notices := claim()):
        send(notices)


def _resolve(notice: Notice) -> None:
    try:
        with transaction.atomic():
            links.resolve(notice)
    except Exception:
        log.exception("the link for a forgotten password (%s) cannot be made", notice.id)
        if timezone.now() - notice.created_at > _RESET_WITHIN:
            notice.end(NoticeState.FAILED, _FAULT)


def claim() -> list[Notice]:
    """Returns notices that are due. No other process sends them until their lease ends."""
    now = timezone.now()
    with transaction.atomic():
        bounds = [now, links.FORGOTTEN, OF_A_TARGET, AT_ONCE]
        due = Notice.objects.due(now).filter(pk__in=[pk for (pk,) in rows(_CLAIM, bounds)])
        due = due.select_related("tenant", "user", "link", "target")
        notices = list(due.select_for_update(skip_locked=True, of=("self",)))
        leased = Notice.objects.filter(pk__in=[notice.pk for notice in notices])
        leased.update(due_at=now + LEASE, attempts=F("attempts") + 1)
    return notices


def send(notices: list[Notice]) -> None:
    mails = [notice for notice in notices if notice.target is None]
    posts = [notice for notice in notices if notice.target]
    _send_mails([notice for notice in mails if not _skipped(notice)])
    _send_posts([notice for notice in posts if not _skipped(notice)])


def _skipped(notice: Notice) -> bool:
    """End a notice that nobody needs any more."""
    reason = ""
    if notice.target and not notice.target.enabled:
        reason = "target_off"
    elif notice.user and not notice.user.is_active:
        reason = "account_closed"
    elif links.is_over(notice):
        reason = "link_over"
    elif _has_left(notice):
        reason = "left"
    if reason:
        notice.end(NoticeState.SKIPPED, reason)
    return bool(reason)


def _has_left(notice: Notice) -> bool:
    """Returns whether its person has left the tenant of which it tells. Their account is theirs."""
    user, tenant = notice.user, notice.tenant
    if user is None or tenant is None or EVENTS[notice.event].group in ALWAYS_MAILED:
        return False
    return not (user.is_operator or tenant.members.filter(user=user).exists())


def _send_mails(notices: list[Notice]) -> None:
    server, unreachable = mail.connection(), False
    for notice in notices:
        at = timezone.now()
        outcome = (
            Outcome("unreachable") if unreachable else _try(lambda: mail.send(notice, server))  # noqa: B023  # called at once
        )
        unreachable = outcome.reason == "unreachable"
        settle(notice, at, outcome)


def _send_posts(notices: list[Notice]) -> None:
    """Send to targets, all at the same time, so that a slow one costs the others nothing."""
    at, prepared = timezone.now(), []
    for notice in notices:
        post = _prepared(notice, at)
        if isinstance(post, Outcome):
            settle(notice, at, post)
        else:
            prepared.append((notice, post))
    answers = asyncio.run(_posted([post for _notice, post in prepared]))
    for (notice, _post), answer in zip(prepared, answers, strict=True):
        assert notice.target
        settle(notice, at, outcome_of(notice.target, answer))


def _prepared(notice: Notice, at: datetime) -> posting.Post | Outcome:
    """Returns the request, or the outcome of a notice that has none."""
    target = notice.target
    assert target
    return _try(lambda: KINDS[target.kind].post(message(notice, target.language), target, at))


async def _posted(posts: list[posting.Post]) -> list[posting.Answer]:
    answers = await asyncio.gather(*map(_post, posts))
    await asyncio.sleep(_CLOSING_S)
    return answers


async def _post(post: posting.Post) -> posting.Answer:
    try:
        return await posting.send(post, LARGEST_ANSWER)
    except Exception as fault:
        _log(fault)
        return posting.Answer(problem=_FAULT)


def _try(act: Callable[[], T]) -> T | Outcome:
    try:
        return act()
    except Unreadable:
        return Outcome("unreadable", final=True)
    except Exception as fault:
        _log(fault)
        return Outcome(_FAULT)


def _log(fault: Exception) -> None:
    """Logs where it was. Its words may name an address, or a URL that is a secret."""
    frames = traceback.extract_tb(fault.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}"
    log.error("a notice was not sent: %s at %s", type(fault).__name__, where)


def outcome_of(target: NoticeTarget, answer: posting.Answer) -> Outcome:
    status = answer.status
    if status is None:
        return Outcome(answer.problem)
    if 200 <= status < 300:
        return Outcome(KINDS[target.kind].refusal(answer), status)
    reason = "redirect" if status < 400 else "refused" if status < 500 else "service_error"
    return Outcome(reason, status, final=status == _GONE, wait_s=answer.retry_after_s)


def settle(notice: Notice, at: datetime, outcome: Outcome) -> None:
    """Note what came of a try, and when the next one is."""
    notice.note_try(at, reason=outcome.reason, status=outcome.status)
    if not outcome.reason:
        notice.end(NoticeState.SENT)
        return
    receivers_pause = timedelta(seconds=min(outcome.wait_s, LONGEST_PAUSE_S))
    next_at = timezone.now() + max(pause(notice.attempts + 1), receivers_pause)
    if outcome.reason == "no_mail_server":
        notice.end(NoticeState.SKIPPED, outcome.reason)
    elif outcome.final or next_at > notice.began_at + GIVES_UP_AFTER:
        log.warning("notice %s was not delivered: %s", notice.id, outcome.reason)
        notice.end(NoticeState.FAILED, outcome.reason)
        tell_of_failing(notice)
    else:
        notice.wait(next_at)


def pause(tries: int) -> timedelta:
    """Returns the pause after so many tries: 10 s, 30 s, ... to 4 h, each a fifth more or less."""
    seconds = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * FACTOR ** (tries - 1))
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 spreads tries
