"""Erasure, retention and export of decisions, their reviews, contests and explanations.

The figures of a decision outlive its person, for the policy's record; they lead to nobody any more.
Its texts and the prompts behind it are under the person's key.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from audit.erasure.erasers import Evidence
from audit.erasure.own_erasers import key_ids
from audit.exports.portability import Row
from audit.keys.keyring import Unreadable
from inference.decisions import explaining, explanation_words
from inference.models import Contest, Decision, DecisionExplanation, Review
from inference.models.decisions.contest import ContestTexts
from inference.models.decisions.decision import DecisionQuerySet

KINDS = {"decisions": ("inference_decision", "created_at")}  # for data_classes.by_month
BATCH = 5_000


# Erasure -----------------------------------------------------------------------------------------
_NOTHING = {"person": None, "ciphertext": b"", "key_owner": None, "key": None, "key_body": None}


def _about(tenant_id: UUID, subject_id: UUID) -> DecisionQuerySet:
    with_texts = Q(data_key_id__in=key_ids(tenant_id, subject_id)) & ~Q(ciphertext=b"")
    rows = Decision.objects.filter(tenant_id=tenant_id)
    return rows.filter(Q(person=subject_id) | with_texts)


@transaction.atomic
def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Take the person and the texts out of the decisions about a person, BATCH at most.

    Reviews that wait are over: nobody can read what they are about.
    """
    rows = _about(tenant_id, subject_id).order_by("pk")
    # Locked first: a contest that is entered meanwhile is waited for, and goes with the others.
    list(rows.select_for_update(no_key=True).values("pk")[:BATCH])
    decisions = Decision.objects.filter(pk__in=rows.values("pk")[:BATCH])
    about = {"tenant_id": tenant_id, "decision__in": decisions.values("pk")}
    contests, _by_table = Contest.objects.filter(**about).delete()
    explanations, _by_table = DecisionExplanation.objects.filter(**about).delete()
    Review.objects.waiting().filter(**about).delete()
    Review.objects.filter(**about).update(ciphertext=None, data_key_id=None)
    return {
        "decisions": decisions.update(**_NOTHING),
        "contests": contests,
        "explanations": explanations,
    }


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return _about(tenant_id, subject_id).count()


# Retention ---------------------------------------------------------------------------------------
def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete BATCH decisions of that time, with all about them. Open contests keep theirs."""
    old = Decision.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    old = old.exclude(person_id__in=list(spare)).exclude(contests__state="open")
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    Decision.objects.filter(pk__in=ids).delete()
    return len(ids)


# Portability -------------------------------------------------------------------------------------
def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields each decision about the person, with its explanation, reviews and contests."""
    rows = _about(tenant_id, subject_id).order_by("created_at")
    for decision in rows.iterator():
        try:
            content = decision.content
        except Unreadable:
            content = None
        yield {
            "id": decision.public_id,
            "created_at": decision.created_at,
            "policy": decision.policy_name,
            "version": decision.version_number,
            "outcome": decision.outcome,
            "final_outcome": decision.final or None,
            "score": decision.score,
            "thresholds": {"review": decision.review_at, "block": decision.block_at},
            "source": decision.source,
            "fallback": decision.fallback_reason or None,
            "shadow": _shadow(decision),
            "feedback": decision.feedback or None,
            "input": content and content.input,
            "reasons": [each.message for each in content.reasons] if content else None,
            "explanation": _explanation(decision),
            "reviews": [_review(review) for review in decision.reviews.order_by("created_at")],
            "contests": [_contest(each) for each in decision.contests.order_by("created_at")],
        }


def _shadow(decision: Decision) -> Row | None:
    """Returns what another version said about the person, which decided nothing."""
    if not decision.shadow_outcome:
        return None
    return {"outcome": decision.shadow_outcome, "score": decision.shadow_score}


def _explanation(decision: Decision) -> dict[str, list[str]] | None:
    row = DecisionExplanation.objects.filter(decision=decision).first()
    try:
        packed = row and row.packed
    except Unreadable:
        return None
    if not packed:
        return None
    explanation = explaining.unpacked(packed)
    languages = explanation_words.LANGUAGES
    return {each: explanation_words.sentences(explanation, each) for each in languages}


def _review(review: Review) -> Row:
    """Returns what the person may know: not who decided, nor notes between reviewers."""
    names = ("state", "cause", "outcome", "created_at", "decided_at", "confirmed_at")
    return {name: getattr(review, name) for name in names}


def _contest(contest: Contest) -> Row:
    try:
        texts = contest.texts
    except Unreadable:
        texts = ContestTexts()
    names = ("state", "created_at", "due_at", "closed_at")
    about = {name: getattr(contest, name) for name in names}
    return {"id": contest.public_id, **about, "statement": texts.statement, "answer": texts.answer}
