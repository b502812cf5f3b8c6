"""Pages of reviews: the queue, and a review from claim to decision.

The input of a decision is shown to whoever has claimed its review, so that the trail says who read
it. Nobody reviews what they decided before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from audit.keys.keyring import Unreadable
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, View, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.decisions import explaining, explanation_words
from inference.decisions.reviews import reviewing
from inference.models import Decision, DecisionExplanation, Review, ReviewCause, ReviewState
from inference.models.decisions.decision import Content
from inference.models.decisions.review import (
    LONGEST_REASON,
    AlreadyReviewed,
    ClaimedByAnother,
    FinalOutcome,
    NotClaimed,
    ReviewRefused,
    SamePerson,
    actors_of,
)
from tenants.roles import Permission

WAITING, MINE, FREE = "waiting", "mine", "free"
_STATES = [
    (WAITING, _("Waiting")),
    (FREE, _("Not claimed")),
    (MINE, _("Claimed by me")),
    (ReviewState.SECOND, _("Waiting for a second person")),
    (ReviewState.DECIDED, _("Decided")),
]
REFUSALS: dict[type[ReviewRefused], Promise] = {
    ClaimedByAnother: _("Somebody else is reviewing this. Take another one, or wait."),
    NotClaimed: _("Your claim is over. Claim it again, then decide."),
    AlreadyReviewed: _("This has already been decided."),
    SamePerson: _("You decided this before, or entered the contest: another person has to."),
}
UNREADABLE = _("Its input cannot be read: the person was erased, or their data is restricted.")


def _final(review: Review) -> str:
    """Returns nothing while a second person has yet to decide: they decide by themselves."""
    return str(review.get_outcome_display()) if review.state == ReviewState.DECIDED else ""


class ReviewFilter(ConsoleForm):
    state = forms.ChoiceField(label=_("State"), required=False, choices=_STATES)
    cause = forms.ChoiceField(
        label=_("Cause"), required=False, choices=[("", _("Every cause")), *ReviewCause.choices]
    )
    policy = forms.CharField(label=_("Policy"), required=False, max_length=80)


class OutcomeForm(ConsoleForm):
    outcome = forms.ChoiceField(
        label=_("Outcome"), choices=FinalOutcome.choices, widget=forms.RadioSelect
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


REVIEWS = Table(
    "reviews",
    {
        "since": Column(_("Since"), "created_at", "created_at"),
        "policy": Column(_("Policy"), "decision.policy_name", "decision__policy_name"),
        "decision": Column(_("Decision"), "decision.public_id", file_only=True),
        "score": Column(_("Score"), "decision.score", "decision__score", numbers=True),
        "cause": Column(_("Cause"), lambda row: row.get_cause_display(), "cause"),
        "state": Column(_("State"), lambda row: row.get_state_display(), "state"),
        "outcome": Column(_("Outcome"), _final, file_only=True),
    },
    order="-since",
)


@dataclass(frozen=True, slots=True)
class ReviewLine:
    review: Review
    claimed_by: str
    overdue: bool


@permitted(Permission.VIEW_DECISIONS)
def reviews(request: TenantRequest) -> HttpResponse:
    form = ReviewFilter(request.GET)
    rows = request.tenant.reviews.select_related("decision").prefetch_related("contests")
    chosen = _filtered(rows, form, request.actor) if form.is_valid() else rows.none()
    if file := REVIEWS.file(request, chosen):
        return file
    shown = REVIEWS.shown(request, chosen)
    actors = Actors.among(actors_of(shown.rows), request.tenant)
    context = {
        "form": form,
        "table": shown,
        "lines": [
            ReviewLine(
                row,
                actors.name(row.claimed_by) if row.is_claimed else "",
                any(contest.is_overdue for contest in row.contests.all()),
            )
            for row in shown.rows
        ],
        "filtered": form.is_set,
        "waiting": request.tenant.reviews.waiting().count(),
        "now": timezone.now(),
    }
    return render(request, "console/decisions/reviews.html", context)


def _filtered(rows: QuerySet[Review], form: ReviewFilter, actor: str) -> QuerySet[Review]:
    fields = form.cleaned_data
    if fields["cause"]:
        rows = rows.filter(cause=fields["cause"])
    if fields["policy"]:
        rows = rows.filter(decision__policy_name=fields["policy"])
    waiting = rows.exclude(state=ReviewState.DECIDED)
    match fields["state"]:
        case "" | "waiting":
            return waiting
        case "mine":
            return waiting.filter(claimed_by=actor, claimed_until__gt=timezone.now())
        case "free":
            return waiting.exclude(claimed_until__gt=timezone.now())
        case state:
            return rows.filter(state=state)


@permitted(Permission.REVIEW_DECISIONS)
def review(request: TenantRequest, review: UUID) -> HttpResponse:
    return _page(request, _review(request, review), OutcomeForm())


def _act_on_review(act: Callable[[TenantRequest, Review], Promise | str]) -> View:
    """Make a view of an act on a review that returns its outcome in words."""

    @require_POST
    @permitted(Permission.REVIEW_DECISIONS)
    @wraps(act)
    def view(request: TenantRequest, review: UUID) -> HttpResponse:
        row = _review(request, review)
        try:
            messages.success(request, str(act(request, row)))
        except ReviewRefused as refused:
            messages.error(request, refusal_text(refused))
        except Unreadable:
            messages.error(request, str(UNREADABLE))
        return _back(request, row)

    return view


@_act_on_review
def review_claim(request: TenantRequest, review: Review) -> Promise | str:
    reviewing.claim(review, by=request.actor)
    return _("It is yours for 30 minutes.")


@_act_on_review
def review_return(request: TenantRequest, review: Review) -> Promise | str:
    review.give_back(by=request.actor)
    return _("Given back. Others can claim it.")


@_act_on_review
def review_explanation(request: TenantRequest, review: Review) -> Promise | str:
    DecisionExplanation.order(review.decision)
    return _("The explanation is being made. Reload the page in some seconds.")


@require_POST
@permitted(Permission.REVIEW_DECISIONS)
@recently_proven
def review_decision(request: TenantRequest, review: UUID) -> HttpResponse:
    row, form = _review(request, review), OutcomeForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form)
    try:
        row.decide(form.cleaned_data["outcome"], form.cleaned_data["reason"], by=request.actor)
    except ReviewRefused as refused:
        messages.error(request, refusal_text(refused))
        return _back(request, row)
    except ValidationError as problem:
        form.refuse(problem)
        return _page(request, row, form)
    except Unreadable:
        messages.error(request, str(UNREADABLE))
        return _back(request, row)
    if row.state == ReviewState.DECIDED:
        messages.success(request, _("Decided."))
    else:
        messages.info(request, _("Noted. A second person has to decide the same."))
    return redirect("console:reviews", tenant=request.tenant.name)


def refusal_text(refused: ReviewRefused) -> str:
    return str(REFUSALS[type(refused)])


def _review(request: TenantRequest, pk: UUID) -> Review:
    rows = request.tenant.reviews.select_related("decision__version__policy")
    return get_object_or_404(rows, pk=pk)


def _back(request: TenantRequest, review: Review) -> HttpResponse:
    return redirect("console:review", tenant=request.tenant.name, review=review.pk)


# The page ----------------------------------------------------------------------------------------
def _page(request: TenantRequest, review: Review, form: OutcomeForm) -> HttpResponse:
    mine = review.is_claimed_by(request.actor) and review.state != ReviewState.DECIDED
    content = _content(review.decision) if mine else None
    contest = review.contests.first()
    reasons = _text(lambda: review.reasons) if review.state == ReviewState.DECIDED else None
    earlier = reasons.earlier if reasons else ()
    named = [*actors_of([review]), *(each.by for each in earlier)]
    actors = Actors.among(named, request.tenant)
    context = {
        "review": review,
        "decision": review.decision,
        "form": form,
        "mine": mine,
        "content": content,
        "unreadable": mine and content is None,
        "contest": contest,
        "statement": _text(lambda: contest.texts.statement) if contest and mine else "",
        "reasons": reasons,
        "earlier": [
            (FinalOutcome(each.outcome).label, actors.name(each.by), each.at, each.reason)
            for each in earlier
        ],
        "claimed_by": actors.name(review.claimed_by) if review.is_claimed else "",
        "decided_by": actors.name(review.decided_by) if review.decided_by else "",
        "confirmed_by": actors.name(review.confirmed_by) if review.confirmed_by else "",
        "barred": _text(lambda: request.actor in review.people_before()),
        **_explanation(review.decision),
    }
    return render(request, "console/decisions/review.html", context)


def _content(decision: Decision) -> Content | None:
    try:
        return decision.content
    except Unreadable:
        return None


def _text(read: Callable[[], Any]) -> Any:
    """Returns a text, or what follows from one; "" if its key is gone."""
    try:
        return read()
    except Unreadable:
        return ""


def _explanation(decision: Decision) -> dict[str, Any]:
    """Returns the explanation in the reader's language, or how far it is."""
    row = DecisionExplanation.objects.filter(decision=decision).first()
    packed = _text(lambda: row.packed) if row else None
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    words = explanation_words.sentences(explaining.unpacked(packed), language) if packed else []
    return {"explanation": row, "sentences": words}
