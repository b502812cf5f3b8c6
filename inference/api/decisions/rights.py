"""The endpoints of people's rights: a decision explained, and contested."""

from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError

from audit.keys.keyring import Unreadable
from inference.api.decisions.own import own_decision
from inference.api.explanations.making import make
from inference.api.http.callers import address_counted_caller, counted_caller
from inference.api.http.request import Request
from inference.api.ownership import in_scope, repeatable_in_scope
from inference.decisions import explaining, explanation_words
from inference.decisions.explaining import Effect, Explanation
from inference.errors import BadRequest, Conflict, NotFound, must_be
from inference.models import Contest, Decision, DecisionExplanation, ExplanationState
from inference.models.decisions.contest import (
    LONGEST_STATEMENT,
    AlreadyContested,
    ContestState,
    ContestTexts,
)
from inference.validation.requests import parsed
from tenants.key_scopes import Scope

STATEMENT, LANGUAGE = "statement", "language"
UNREADABLE = Conflict(
    "the person's data is erased or restricted: nothing of the decision can be read",
    code="person_restricted",
)


# Contests ----------------------------------------------------------------------------------------
async def contest(request: Request, decision_id: str) -> None:
    """Enter a contest: a human reviews the decision again."""
    caller = await counted_caller(request, Scope.INFERENCE)
    decision = await own_decision(request, caller, decision_id)
    statement = _statement(parsed(await request.body()))
    begin = partial(_begin, decision, statement, caller.actor, uuid4())
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, begin))


async def contest_state(request: Request, decision_id: str) -> None:
    """Answer the latest contest of a decision, with what the person is told."""
    caller = await address_counted_caller(request)
    decision = await own_decision(request, caller, decision_id)
    latest = await repeatable_in_scope(caller.tenant_id, partial(_latest, decision))
    if latest is None:
        raise NotFound("this decision has not been contested", code="contest_not_found")
    await request.answer_json(latest)


def _statement(body: dict[str, Any]) -> str:
    if foreign := sorted(body.keys() - {STATEMENT}):
        raise BadRequest(f"`{foreign[0][:80]}` is no field here", param=foreign[0][:80])
    statement = body.get(STATEMENT, "")
    if not isinstance(statement, str) or len(statement) > LONGEST_STATEMENT:
        raise must_be(STATEMENT, f"a text of at most {LONGEST_STATEMENT} characters")
    return statement


def _begin(decision: Decision, statement: str, by: str, pk: UUID) -> dict[str, Any]:
    try:
        return _written(Contest.begin(decision, statement, by=by, pk=pk))
    except AlreadyContested:
        raise Conflict(
            "a contest of this decision is open; GET this address for its state",
            code="already_contested",
        ) from None
    except ValidationError as problem:
        raise BadRequest(" ".join(problem.messages), param=STATEMENT) from None
    except Unreadable:
        raise UNREADABLE from None


def _latest(decision: Decision) -> dict[str, Any] | None:
    contest = decision.contests.select_related("decision").order_by("-created_at").first()
    return _written(contest) if contest else None


def _written(contest: Contest) -> dict[str, Any]:
    """Returns the object of the API."""
    try:
        texts = contest.texts
    except Unreadable:
        texts = ContestTexts()
    closed = contest.closed_at
    return {
        "id": contest.public_id,
        "object": "decision.contest",
        "decision": contest.decision.public_id,
        "state": contest.state,
        "created_at": int(contest.created_at.timestamp()),
        "due_at": int(contest.due_at.timestamp()),
        "closed_at": int(closed.timestamp()) if closed else None,
        "statement": texts.statement,
        "answer": texts.answer or None,
        "final_outcome": contest.decision.final or None
        if contest.state != ContestState.OPEN
        else None,
    }


# Explanations ------------------------------------------------------------------------------------
async def explanation(request: Request, decision_id: str) -> None:
    """Explain a decision, in the language of `?language=` or of Accept-Language."""
    caller = await counted_caller(request, Scope.INFERENCE)
    language = _language(request)
    decision = await own_decision(request, caller, decision_id)
    row, mine = await in_scope(caller.tenant_id, partial(_order, decision))
    if mine:
        await make(request.call.context, caller, row)
    answer = await repeatable_in_scope(caller.tenant_id, partial(_explained, row, language))
    await request.answer_json(answer)


def _language(request: Request) -> str:
    language = dict(parse_qsl(request.query.decode("latin-1"))).get(LANGUAGE)
    if language is None:
        accepted = request.header_or_none("accept-language") or ""
        return "zh" if accepted.lower().startswith("zh") else "en"
    if language not in explanation_words.LANGUAGES:
        raise must_be(LANGUAGE, "`en` or `zh`")
    return language


def _order(decision: Decision) -> tuple[DecisionExplanation, bool]:
    """Returns the decision's explanation, and whether this request makes it."""
    ordered = DecisionExplanation.order(decision)
    rows = DecisionExplanation.objects.select_related("decision__version__policy")
    row = rows.get(pk=ordered.pk)
    return row, row.state == ExplanationState.MAKING and row.lease()


def _explained(row: DecisionExplanation, language: str) -> dict[str, Any]:
    row.refresh_from_db(fields=["state", "problem", "data_key_id", "ciphertext"])
    head = {
        "object": "decision.explanation",
        "decision": row.decision.public_id,
        "state": row.state,
        "problem": row.problem or None,
        "language": language,
    }
    try:
        packed = row.packed
    except Unreadable:
        raise UNREADABLE from None
    if packed is None:
        return {**head, "sentences": [], "inputs": [], "not_examined": []}
    return {**head, **_figures(explaining.unpacked(packed), language)}


def _figures(explanation: Explanation, language: str) -> dict[str, Any]:
    return {
        "outcome": explanation.outcome,
        "source": explanation.source,
        "score": explanation.score,
        "score_again": explanation.again,
        "thresholds": {"review": explanation.review_at, "block": explanation.block_at},
        "sentences": explanation_words.sentences(explanation, language),
        "inputs": [_effect(effect, explanation.again) for effect in explanation.effects],
        "not_examined": list(explanation.not_examined),
    }


def _effect(effect: Effect, again: float | None) -> dict[str, Any]:
    known = again is not None and effect.score is not None
    return {
        "input": effect.input,
        "value": effect.value,
        "neutral": effect.neutral,
        "outcome": effect.outcome,
        "score": effect.score,
        "effect": again - effect.score if known else None,  # type: ignore[operator]
    }
