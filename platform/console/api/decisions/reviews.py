"""Reviews of decisions, and contests. Only people review: no key has the permission."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.keys.keyring import Unreadable
from console.account.reauthentication import is_proven
from console.api.acts import Act, filters, listing, shape_of, showing
from console.api.problem import bad_request
from console.api.requester import proof_needed
from console.api.resource import Resource
from console.api.strict_input import Row
from console.decisions.reviews import REFUSALS, UNREADABLE
from inference.decisions import explaining, explanation_words
from inference.decisions.reviews import reviewing
from inference.models import (
    Contest,
    ContestState,
    Decision,
    DecisionExplanation,
    Review,
    ReviewCause,
    ReviewState,
)
from inference.models.decisions.contest import LONGEST_STATEMENT, AlreadyContested
from inference.models.decisions.decision import PREFIX
from inference.models.decisions.review import (
    LONGEST_REASON,
    AlreadyReviewed,
    ClaimedByAnother,
    FinalOutcome,
    NotClaimed,
    SamePerson,
)
from tenants.roles import Permission as P

_ID = "dec_0192e6a044ee7c6e9f6e1f2a3b4c5d6e"


class ReviewShape(Row):
    decision = s.CharField(source="decision.public_id")
    policy = s.CharField(source="decision.policy_name")
    version = s.IntegerField(source="decision.version_number")
    score = s.FloatField(source="decision.score", allow_null=True)
    cause = s.ChoiceField(ReviewCause.choices)
    state = s.ChoiceField(ReviewState.choices)
    needs_second = s.BooleanField(help_text="Two people must agree. Known from the first claim on.")
    claimed_by = s.CharField()
    claimed_until = s.DateTimeField(allow_null=True)
    outcome = s.SerializerMethodField(help_text="Empty until it is final.")
    decided_by = s.CharField()
    decided_at = s.DateTimeField(allow_null=True)
    confirmed_by = s.CharField()
    EXAMPLE = {
        "decision": _ID,
        "policy": "card-fraud",
        "version": 3,
        "score": 0.61,
        "cause": "outcome",
        "state": "open",
        "outcome": "",
    }

    def get_outcome(self, review: Review) -> str:
        """Returns nothing while a second person has yet to decide: they decide by themselves."""
        return str(review.outcome) if review.state == ReviewState.DECIDED else ""


class ClaimedReview(ReviewShape):
    input = s.SerializerMethodField(help_text="For whoever has claimed it; else null.")
    statement = s.SerializerMethodField(help_text="What the person says who contests it.")
    explanation = s.SerializerMethodField(
        help_text="By language. Null: it is being made, or cannot be made."
    )
    EXAMPLE = {
        **ReviewShape.EXAMPLE,
        "input": {"amount": 5000, "abroad": True},
        "statement": "",
        "explanation": {
            "en": ["“abroad” = true raised it."],
            "zh": ["“abroad”为 true，使其升高。"],
        },
    }

    def get_input(self, review: Review) -> dict[str, Any] | None:
        return review.decision.content.input if self._is_mine(review) else None

    def get_statement(self, review: Review) -> str:
        contest = review.contests.first() if self._is_mine(review) else None
        return contest.texts.statement if contest else ""

    def get_explanation(self, review: Review) -> dict[str, list[str]] | None:
        row = DecisionExplanation.objects.filter(decision=review.decision).first()
        packed = row.packed if row and self._is_mine(review) else None
        if packed is None:
            return None
        explanation = explaining.unpacked(packed)
        languages = explanation_words.LANGUAGES
        return {each: explanation_words.sentences(explanation, each) for each in languages}

    def _is_mine(self, review: Review) -> bool:
        return review.is_claimed_by(self.context.get("actor", ""))


Outcome = shape_of(
    "Outcome",
    outcome=s.ChoiceField(FinalOutcome.choices),
    reason=s.CharField(max_length=LONGEST_REASON, help_text="Of a contest, the person reads it."),
)


class Reviews(Resource):
    shape = ReviewShape
    volatile = ("claimed_by", "claimed_until")
    refusals = {
        ClaimedByAnother: (409, "claimed", REFUSALS[ClaimedByAnother]),
        NotClaimed: (409, "not_claimed", REFUSALS[NotClaimed]),
        AlreadyReviewed: (409, "already_decided", REFUSALS[AlreadyReviewed]),
        SamePerson: (409, "same_person", REFUSALS[SamePerson]),
        Unreadable: (409, "unreadable", UNREADABLE),
    }

    def rows(self) -> QuerySet[Review]:
        return self.url_tenant.reviews.select_related("decision__version__policy")

    list = listing(
        P.VIEW_DECISIONS,
        "List reviews of decisions.",
        asks=filters(
            state=f.ChoiceFilter(choices=ReviewState.choices),
            cause=f.ChoiceFilter(choices=ReviewCause.choices),
            policy=f.CharFilter(field_name="decision__policy_name", max_length=80),
        ),
    )

    @Act(P.REVIEW_DECISIONS, gives=ClaimedReview)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a review; to whoever has claimed it, with the input and its explanation."""
        return self._answer(self.row())

    @Act(P.REVIEW_DECISIONS, gives=ClaimedReview)
    def claim(self, request: Any, **path: Any) -> Response:
        """Claim a review for 30 minutes, or lengthen one's claim.

        This is on record, since it shows the input. Nobody claims what they decided before.
        """
        review: Review = self.row()
        reviewing.claim(review, by=self.actor)
        return self._answer(review)

    @Act(P.REVIEW_DECISIONS)
    def give_back(self, request: Any, **path: Any) -> Response:
        """Give a claimed review back, so that others can claim it."""
        review: Review = self.row()
        review.give_back(by=self.actor)
        return self.respond(review)

    @Act(P.REVIEW_DECISIONS, takes=Outcome)
    def decide(self, request: Any, **path: Any) -> Response:
        """Decide a claimed review.

        Where the policy wants two people, it is final once another one has decided the same.
        People must have confirmed their identity within the last ten minutes.
        """
        review, fields = self.row(), self.body()
        if not is_proven(request._request):
            raise proof_needed()
        review.decide(fields["outcome"], fields["reason"], by=self.actor)
        return self.respond(review)

    def _answer(self, review: Review) -> Response:
        body = ClaimedReview(review, context={"actor": self.actor}).data
        return Response(body, headers={"ETag": self.etag(self.shape(review).data)})


class ContestShape(Row):
    contest = s.CharField(source="public_id", help_text="Its id as programs know it.")
    decision = s.CharField(source="decision.public_id")
    review = s.UUIDField(source="review_id")
    state = s.ChoiceField(ContestState.choices)
    due_at = s.DateTimeField(help_text="30 days after it was entered.")
    overdue = s.BooleanField(source="is_overdue")
    closed_at = s.DateTimeField(allow_null=True)
    created_by = s.CharField()
    EXAMPLE = {"contest": "con_0192e6a077aa7c6e9f6e1f2a3b4c5d6e", "decision": _ID, "state": "open"}


NewContest = shape_of(
    "NewContest",
    decision=s.CharField(max_length=40, help_text="Its id, such as `dec_…`."),
    statement=s.CharField(max_length=LONGEST_STATEMENT, required=False, allow_blank=True),
)


class Contests(Resource):
    shape = ContestShape
    orderings = ("-created_at", "created_at", "due_at")
    volatile = ("overdue",)
    refusals = {
        AlreadyContested: (
            409,
            "already_contested",
            _("A contest of this decision is open already."),
        ),
        Unreadable: (409, "unreadable", UNREADABLE),
    }

    def rows(self) -> QuerySet[Contest]:
        return self.url_tenant.contests.select_related("decision")

    list = listing(
        P.VIEW_DECISIONS,
        "List contests of decisions.",
        asks=filters(state=f.ChoiceFilter(choices=ContestState.choices)),
    )
    retrieve = showing(P.VIEW_DECISIONS, "Show a contest.")

    @Act(P.REVIEW_DECISIONS, takes=NewContest)
    def create(self, request: Any, **path: Any) -> Response:
        """Enter a contest for a person who has written or called.

        Another reviewer has to decide within 30 days. Programs use `/v1/decisions/{id}/contest`.
        """
        fields = self.body()
        decision = self._decision(fields["decision"])
        contest = Contest.begin(decision, fields.get("statement", ""), by=self.actor)
        return self.respond(contest, 201)

    def _decision(self, text: str) -> Decision:
        """Raises Problem."""
        try:
            pk = UUID(hex=text.removeprefix(PREFIX))
        except ValueError:
            raise bad_request({"decision": [_t("There is no such decision.")]}) from None
        rows = self.url_tenant.decisions
        row: Decision = self.named(rows, "decision", _t("There is no such decision."), pk=pk)
        return row
