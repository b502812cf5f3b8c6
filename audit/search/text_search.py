"""Searches encrypted texts by decrypting them one by one; there is no index.

The searcher gives a reason. The search is recorded in the same transaction, with its words
encrypted, and so are refused ones. Callers check permissions.
"""

import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys.keyring import Barred, Cipher, keyring, newest
from audit.models import DataKey, Event, Payload
from audit.search import texts
from audit.trail.record import act, checked_reason
from infrastructure.postgres.queries import lock

AN_HOUR = 10  # searches of one person
MOST_TEXTS = 10_000
MOST_BYTES = 64 * 1024 * 1024
MOST_S = 20.0
AT_ONCE = 4  # payloads in memory: each may be of several MiB
LONGEST_RANGE = timedelta(days=31)
SHORTEST, LONGEST = 3, 200  # characters of the words
SHORTEST_WORD = 2  # in scripts with words of two characters: Chinese, Japanese, Korean
_DENSE = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fffd]"
)
AROUND = 60
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Hit:
    request_id: UUID
    field: str
    at: datetime
    before: str
    words: str
    after: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: list[Hit] = field(default_factory=list)
    looked_at: int = 0
    unreadable: int = 0  # texts of erased people
    looked_back_to: datetime | None = None  # older texts were not searched
    refused: bool = False  # too many searches in this hour


@dataclass(frozen=True, slots=True)
class Viewed:
    field: str
    at: datetime
    read: texts.DecryptedText | None  # None: it has been erased


def search(
    tenant_id: UUID,
    words: str,
    *,
    by: str,
    reason: str,
    since: datetime,
    until: datetime,
    subject_id: UUID | None = None,
    searcher_id: UUID | None = None,
) -> SearchResult:
    """Searches a tenant's texts, and records that. One too many is `refused`.

    Raises ValidationError. The words are encrypted under the key of their subject, `subject_id`,
    else under that of the searcher, `searcher_id` (both pseudonyms).
    """
    words, reason = _checked(words, since, until), checked_reason(reason)
    asker = _Asker(tenant_id, by, words, subject_id, searcher_id)
    query = {"reason": reason, "since": since.isoformat(), "until": until.isoformat()}
    with transaction.atomic():
        lock(f"text search:{tenant_id}:{by}")  # one at a time, so that none escapes the count
        if remaining_this_hour(tenant_id, by) == 0:
            _record(asker, {**query, "why": "too many in an hour"}, success=False)
            return SearchResult(refused=True)
        with closing(_payloads(tenant_id, since, until, subject_id)) as payloads:
            result = _search(payloads, words)
        counts = {"texts": result.looked_at, "found": len(result.hits)}
        _record(asker, {**query, **counts})
    return result


def view(tenant_id: UUID, request_id: UUID, *, by: str, reason: str) -> list[Viewed]:
    """Returns the texts of one request, and records that. Raises ValidationError."""
    reason = checked_reason(reason)
    with transaction.atomic():
        payloads = Payload.objects.filter(tenant_id=tenant_id, request_id=request_id)
        viewed = [Viewed(p.field, p.at, texts.decrypted(p)) for p in payloads.order_by("at", "id")]
        for addition in texts.additions:
            viewed += [Viewed(*row) for row in addition(tenant_id, request_id)]
        events = Event.objects.filter(tenant_id=tenant_id, request_id=request_id)
        subject = events.exclude(subject_id=None).values_list("subject_id", flat=True).first()
        detail = {"request": str(request_id), "reason": reason, "texts": len(viewed)}
        act(Action.PROMPT_VIEW, actor=by, tenant_id=tenant_id, subject_id=subject, detail=detail)
    return viewed


def remaining_this_hour(tenant_id: UUID, by: str) -> int:
    since = timezone.now() - timedelta(hours=1)
    events = Event.objects.of_tenant(tenant_id).by(by).between(since, None)
    return max(0, AN_HOUR - events.filter(action=Action.AUDIT_SEARCH, success=True).count())


def _payloads(
    tenant_id: UUID, since: datetime, until: datetime, subject_id: UUID | None
) -> Generator[Payload, None, None]:
    """Yields payloads, newest first."""
    rows = Payload.objects.filter(tenant_id=tenant_id, at__gte=since, at__lt=until)
    if subject_id:
        keys = DataKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
        rows = rows.filter(data_key_id__in=list(keys.values_list("pk", flat=True)))
    yield from rows.order_by("-at", "-id")[: MOST_TEXTS + 1].iterator(AT_ONCE)


def _search(payloads: Iterator[Payload], words: str) -> SearchResult:
    hits: list[Hit] = []
    unreadable, needle, limit = 0, words.casefold(), _Limit()
    for payload in payloads:
        if not limit.allows(payload):
            return SearchResult(hits, limit.texts, unreadable, limit.back_to)
        decrypted = texts.decrypted(payload)
        if decrypted is None:
            unreadable += 1
        elif (hit := _hit(payload, decrypted.text, needle)) and len(hits) < MOST_SHOWN:
            hits.append(hit)
    return SearchResult(hits, limit.texts, unreadable)


class _Limit:
    """The most texts, bytes and seconds of a search; at least one text is always searched."""

    def __init__(self) -> None:
        self.texts, self.back_to = 0, timezone.now()
        self._bytes, self._until = MOST_BYTES, time.monotonic() + MOST_S

    def allows(self, payload: Payload) -> bool:
        self._bytes -= len(payload.ciphertext)
        over = self.texts >= MOST_TEXTS or self._bytes < 0 or time.monotonic() > self._until
        if self.texts and over:
            return False
        self.texts, self.back_to = self.texts + 1, payload.at
        return True


def _hit(payload: Payload, text: str, needle: str) -> Hit | None:
    """Returns the hit with its surroundings.

    Case folding may change the length of a text; the excerpt is then only near the words.
    """
    at = text.casefold().find(needle)
    if at < 0:
        return None
    ends = at + len(needle)
    before, after = text[max(0, at - AROUND) : at], text[ends : ends + AROUND]
    return Hit(payload.request_id, payload.field, payload.at, before, text[at:ends], after)


class _Asker(NamedTuple):
    tenant_id: UUID
    by: str
    words: str
    subject_id: UUID | None
    searcher_id: UUID | None


def _record(asker: _Asker, detail: dict[str, Any], *, success: bool = True) -> None:
    """Records a search. Its words are encrypted like a text, since they may name a person."""
    tenant_id, request_id, at = asker.tenant_id, uuid4(), timezone.now()
    owner, cipher = _cipher(asker)
    if owner:
        detail = {**detail, "words_of": str(owner)}
    aad = texts.aad(tenant_id, request_id, "search")
    ciphertext = cipher.encrypt(asker.words.encode(), aad)
    request = {"at": at, "tenant_id": tenant_id, "request_id": request_id}
    Event.objects.create(
        **request,
        action=Action.AUDIT_SEARCH,
        actor=asker.by,
        subject_id=asker.subject_id,
        success=success,
        detail=detail,
        payload_sha256=sha256(ciphertext).digest(),
    )
    key_id = cipher.key_id
    Payload.objects.create(**request, field="search", data_key_id=key_id, ciphertext=ciphertext)


def _cipher(asker: _Asker) -> tuple[UUID | None, Cipher]:
    """Returns the key of the subject if it has one, else the searcher's; typed ids make no keys."""
    tenant_id, subject_id = asker.tenant_id, asker.subject_id
    known = subject_id and newest(tenant_id, subject_id)
    owner = subject_id if known else asker.searcher_id
    try:
        return owner, keyring.of_subject_now(tenant_id, owner)
    except Barred:  # erased or restricted; the search is recorded all the same
        return None, keyring.of_subject_now(tenant_id, None)


def _checked(words: str, since: datetime, until: datetime) -> str:
    words = " ".join(words.split())
    if not (SHORTEST_WORD if _DENSE.search(words) else SHORTEST) <= len(words) <= LONGEST:
        text = _("Between 3 and 200 characters; 2 are enough in Chinese, Japanese and Korean.")
        raise ValidationError({"words": text})
    if not since < until:
        raise ValidationError({"until": _("This is before the start.")})
    if until - since > LONGEST_RANGE:
        raise ValidationError({"until": _("At most 31 days at once.")})
    return words
