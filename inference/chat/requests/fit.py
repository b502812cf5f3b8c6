"""The page's question whether a message with files fits, before it is sent."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from inference.chat import history, prompt
from inference.chat.attachments import selection
from inference.chat.fitting import Fit, fit
from inference.chat.problems import ChatRefused
from inference.chat.prompt import Earlier
from inference.chat.requests.access import as_json, as_member, signed_in
from inference.intake.access.allowed import choices_for
from tenants.models import Member, User


@signed_in
@require_POST
def message_fit(request: HttpRequest, user: User) -> HttpResponse:
    """Estimate the tokens of a text with files, beside a conversation, for a model."""
    try:
        ids = [UUID(each) for each in request.POST.getlist("attachment")]
        named = request.POST.get("conversation")
        conversation = UUID(named) if named else None
    except ValueError:
        return HttpResponse(status=400)
    text, model = request.POST.get("text", ""), request.POST.get("model", "")
    with as_member(user, request.POST.get("tenant", "")) as member:
        return as_json(_fit(member, model, conversation, text, ids))


def _fit(member: Member, model: str, conversation: UUID | None, text: str, ids: list[UUID]) -> Fit:
    engine = choices_for(member).get(model)
    if engine is None:
        raise ChatRefused("model_not_found")
    earlier = history.so_far(member, conversation, model) if conversation else Earlier()
    owned = selection.of_member(member).readable().filter(pk__in=ids)
    rows = list(owned.defer("ciphertext", "name_ciphertext"))
    tokens = prompt.tokens(text) + sum(row.tokens for row in rows)
    return fit(engine, model, earlier, tokens, has_images=any(row.media_type for row in rows))
