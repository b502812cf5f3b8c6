"""The page's requests about presets, settings of a conversation, and models to choose from."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from inference.chat.model_choices import choices
from inference.chat.presets import settings, storing
from inference.chat.presets.listing import listed, presets_of
from inference.chat.presets.storing import PresetContent
from inference.chat.requests.access import as_json, as_member, inside, signed_in
from inference.models import PresetLevel
from tenants.models import Member, User


@signed_in
@require_http_methods(["GET", "POST"])
def presets(request: HttpRequest, user: User) -> HttpResponse:
    """List what the member sees, or create one."""
    named = request.POST if request.method == "POST" else request.GET
    with as_member(user, named.get("tenant", "")) as member:
        if request.method == "GET":
            return as_json(presets_of(member))
        return _created(request, member)


def _created(request: HttpRequest, member: Member) -> HttpResponse:
    level, team = request.POST.get("level", ""), request.POST.get("team", "")
    try:
        chosen, team_id = PresetLevel(level), UUID(team) if team else None
    except ValueError:
        return HttpResponse(status=400)
    preset = storing.create(member, chosen, _content(request), team_id)
    return as_json(listed(preset, member), status=201)


@signed_in
@require_POST
def preset(request: HttpRequest, user: User, preset: UUID) -> HttpResponse:
    """Change a preset. `is_default` makes it what new chats begin with, or ends that."""
    with as_member(user, request.POST.get("tenant", "")) as member:
        return _changed(request, member, preset)


def _changed(request: HttpRequest, member: Member, pk: UUID) -> HttpResponse:
    row = storing.visible(member, pk)
    if "is_default" in request.POST:
        storing.make_default(row, member, is_default=request.POST["is_default"] == "on")
    else:
        storing.change(row, member, _content(request))
    return as_json(listed(row, member))


@signed_in
@require_POST
def preset_removal(request: HttpRequest, user: User, preset: UUID) -> HttpResponse:
    with as_member(user, request.POST.get("tenant", "")) as member:
        storing.remove(storing.visible(member, preset), member)
    return HttpResponse(status=204)


@signed_in
@require_POST
def conversation_settings(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    with inside(user, conversation) as opened:
        settings.set_settings(opened, settings.read(request.POST.get("settings", "")))
    return HttpResponse(status=204)


@signed_in
@require_POST
def checked_settings(request: HttpRequest, user: User) -> HttpResponse:
    """Check the settings of a conversation that has not begun."""
    settings.read(request.POST.get("settings", ""))
    return HttpResponse(status=204)


@signed_in
@require_GET
def models(request: HttpRequest, user: User) -> HttpResponse:
    """List the models with their state now."""
    with as_member(user, request.GET.get("tenant", "")) as member:
        return as_json(choices(member))


def _content(request: HttpRequest) -> PresetContent:
    """Raises ChatRefused."""
    return PresetContent(
        name=" ".join(request.POST.get("name", "").split()),
        description=request.POST.get("description", "").strip(),
        model=request.POST.get("model", "")[:120],
        settings=settings.read(request.POST.get("settings", "{}")),
    )
