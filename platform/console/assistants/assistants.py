"""Pages of a tenant's assistants: what answers, their versions, one of them in full."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.account.reauthentication import recently_proven
from console.assistants.forms import SentenceForm, ShareForm, SpecForm, as_json
from console.assistants.intent_form import IntentForm
from console.assistants.words import problem_words
from console.authorization import TenantRequest, permitted
from console.forms import NewNameForm, ReturnForm
from console.post_only import require_POST
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.api.assistants import trying, writing
from inference.api.deferred import Refused, Wait
from inference.assistants.faults import WrongSpec
from inference.assistants.understanding import WrongVector
from inference.models import Assistant, AssistantVersion
from tenants.models import Member
from tenants.models.model_changes import lock
from tenants.roles import Permission as P

SHOWN = 50  # versions, the latest ones


ASSISTANTS = Table(
    "assistants",
    {
        "assistant": Column(gettext_lazy("Assistant"), "name", "name"),
        "live": Column(gettext_lazy("Answers"), "live", "live", numbers=True),
        "challenger": Column(gettext_lazy("Challenger"), "challenger", "challenger", numbers=True),
        "latest": Column(gettext_lazy("Latest version"), "latest", "latest", numbers=True),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
    },
    order="assistant",
    search=("name",),
)


@permitted(P.VIEW_ASSISTANTS)
def assistants(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.assistants.all()
    return ASSISTANTS.page(request, rows, "console/assistants/assistants.html")


@permitted(P.MANAGE_ASSISTANTS)
def addition(request: TenantRequest) -> HttpResponse:
    form, content = (
        NewNameForm(request.POST or None, request.tenant.assistants.all()),
        SpecForm(request.POST or None),
    )
    if request.method == "POST" and all([form.is_valid(), content.is_valid()]):
        try:
            name, spec = form.cleaned_data["name"], content.cleaned_data["spec"]
            member = _member(request)
            row = writing.create(request.tenant, name, spec, by=request.actor, caller=member)
            return _to_page(request, row)
        except WrongSpec as wrong:
            content.show(wrong)
        except ValidationError as problem:
            form.add_error(None, problem)
    context = {"form": form, "content": content}
    return render(request, "console/assistants/addition.html", context)


@permitted(P.MANAGE_ASSISTANTS)
def edition(request: TenantRequest, assistant: UUID) -> HttpResponse:
    row = _edited(request, assistant)
    content = SpecForm(request.POST or None, row)
    if request.method == "POST" and content.is_valid():
        try:
            return _written(request, row, content.cleaned_data["spec"])
        except WrongSpec as wrong:
            content.show(wrong)
        except ValidationError as problem:
            content.add_error(None, problem)
    context = {"assistant": row, "content": content}
    return render(request, "console/assistants/edition.html", context)


@permitted(P.MANAGE_ASSISTANTS)
def intent(request: TenantRequest, assistant: UUID) -> HttpResponse:
    """Edit the intent `?name=` of the latest version, or add one: a new version."""
    row = _edited(request, assistant)
    spec = row.versions.get(number=row.latest).spec
    name = request.GET.get("name", "")
    before = spec.intent(name)
    if name and before is None:
        raise Http404
    form = IntentForm(request.POST or None, spec, before)
    if request.method == "POST" and form.is_valid():
        try:
            return _written(request, row, form.changed_spec)
        except WrongSpec as wrong:
            form.show(wrong.faults)
        except ValidationError as problem:
            form.add_error(None, problem)
    context = {"assistant": row, "form": form, "intent": before}
    return render(request, "console/assistants/intent.html", context)


@permitted(P.VIEW_ASSISTANTS)
def assistant(request: TenantRequest, assistant: UUID) -> HttpResponse:
    """Show a version: `?version=` an earlier one."""
    row = _assistant(request, assistant)
    return _page(request, _version(row, request.GET.get("version")))


@permitted(P.VIEW_ASSISTANTS)
def live(request: TenantRequest, assistant: UUID, number: int) -> HttpResponse:
    """Show the progress of a build; the page asks for it until it is over."""
    version = _version(_assistant(request, assistant), str(number))
    context = {"version": version, "problem": problem_words(version.error_code)}
    return render(request, "console/assistants/_build.html", context)


@require_POST
@permitted(P.VIEW_ASSISTANTS)
def attempt(request: TenantRequest, assistant: UUID, number: int) -> HttpResponse:
    """Try a sentence with a version."""
    version = _version(_assistant(request, assistant), str(number))
    form = SentenceForm(request.POST)
    if not form.is_valid():
        return _page(request, version, sentence=form)
    try:
        trial = trying.try_now(version, _member(request), form.cleaned_data["text"])
        return _page(request, version, sentence=form, trial=trial)
    except Refused as refused:
        form.add_error("text", problem_words(refused.code))
    except (Wait, TimeoutError):
        form.add_error("text", problem_words("model_busy"))
    except WrongVector:
        form.add_error("text", problem_words("other_vectors"))
    return _page(request, version, sentence=form)


# Acts -------------------------------------------------------------------------------------------
@require_POST
@permitted(P.APPROVE_ASSISTANTS)
@recently_proven
def review(request: TenantRequest, assistant: UUID, number: int) -> HttpResponse:
    version = _version(_assistant(request, assistant), str(number))
    acts: dict[str, Callable[[], object]] = {
        "approve": lambda: version.approve(by=request.actor),
        "send_back": lambda: version.send_back(request.POST.get("reason", ""), by=request.actor),
    }
    return _done(request, version.assistant, acts, version)


@require_POST
@permitted(P.MANAGE_ASSISTANTS)
@recently_proven
def change(request: TenantRequest, assistant: UUID, number: int) -> HttpResponse:
    """Do what `act` says with a version."""
    version = _version(_assistant(request, assistant), str(number))
    by = request.actor
    acts: dict[str, Callable[[], object]] = {
        "submit": lambda: version.submit(by=by),
        "promote": lambda: writing.promote(version, by=by),
        "challenge": lambda: writing.challenge(version, _share(request), by=by),
        "retire": lambda: version.retire(by=by),
        "rebuild": lambda: version.rebuild(by=by, caller=_member(request)),
    }
    return _done(request, version.assistant, acts, version)


@require_POST
@permitted(P.MANAGE_ASSISTANTS)
@recently_proven
def switch(request: TenantRequest, assistant: UUID) -> HttpResponse:
    """Do what `act` says with an assistant."""
    row, by = _assistant(request, assistant), request.actor
    acts: dict[str, Callable[[], object]] = {
        "roll_back": lambda: row.roll_back(by=by),
        "stop": lambda: row.stop(by=by),
        "end_challenge": lambda: row.challenge(None, 0.0, by=by),
        "remove": lambda: row.remove(by=by),
    }
    return _done(request, row, acts)


def _done(
    request: TenantRequest,
    assistant: Assistant,
    acts: dict[str, Callable[[], object]],
    version: AssistantVersion | None = None,
) -> HttpResponse:
    """Do the act that the form names, and show what came of it."""
    name = request.POST.get("act", "")
    try:
        if name not in acts:
            raise ValidationError(_("There is no such act."))
        acts[name]()
        messages.success(request, _("Done. It is on record."))
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
        name = ""
    if name == "remove":
        return redirect("console:assistants", tenant=request.tenant.name)
    return _to_page(request, assistant, version)


def _share(request: TenantRequest) -> float:
    """Raises ValidationError."""
    form = ShareForm(request.POST)
    if not form.is_valid():
        raise ValidationError([str(error) for error in form.errors["share"]])
    return float(form.cleaned_data["share"]) / 100


# Parts ------------------------------------------------------------------------------------------
def _written(request: TenantRequest, row: Assistant, spec: Any) -> HttpResponse:
    """Raises WrongSpec, ValidationError."""
    version = writing.write(row, spec, by=request.actor, caller=_member(request))
    return _to_page(request, row, version)


def _member(request: TenantRequest) -> Member:
    """Returns the member with whose limits models are asked. Raises Http404 for an operator."""
    if request.member is None:
        raise Http404
    return request.member


def _assistant(request: TenantRequest, assistant: UUID) -> Assistant:
    return get_object_or_404(request.tenant.assistants, pk=assistant)


def _edited(request: TenantRequest, assistant: UUID) -> Assistant:
    """Returns the assistant, locked if it is written, so that of two writers one sees the other."""
    row = _assistant(request, assistant)
    if request.method == "POST":
        lock(row)
    return row


def _version(assistant: Assistant, number: str | None) -> AssistantVersion:
    """Returns the version of this number, by default the latest. Raises Http404."""
    if number is not None and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise Http404
    rows = assistant.versions.select_related("assistant", "tenant")
    return get_object_or_404(rows, number=int(number or assistant.latest))


def _to_page(
    request: TenantRequest, assistant: Assistant, version: AssistantVersion | None = None
) -> HttpResponse:
    page = redirect("console:assistant", tenant=request.tenant.name, assistant=assistant.pk)
    if version:
        page["Location"] += f"?version={version.number}"
    return page


def _page(request: TenantRequest, version: AssistantVersion, **shown: Any) -> HttpResponse:
    assistant, spec = version.assistant, version.spec
    rows = assistant.versions.defer("ciphertext", "classifier_ciphertext", "figures")
    versions = list(rows.order_by("-number")[:SHOWN])
    own = [version.reviewed_by, version.returned_by]
    people = [*own, *(each.created_by for each in versions)]
    actors = Actors.among([each for each in people if each], request.tenant)
    context = {
        "assistant": assistant,
        "version": version,
        "spec": spec,
        "json": as_json(spec),
        "versions": [(each, actors.name(each.created_by)) for each in versions],
        "reviewer": actors.name(version.reviewed_by) if version.reviewed_by else "",
        "returned_by": actors.name(version.returned_by) if version.returned_by else "",
        "return_reason": version.return_reason,
        "return_form": ReturnForm(),
        "sentence": SentenceForm(None),
        "share": ShareForm(None),
        "problem": problem_words(version.error_code),
        "outdated": writing.has_other_embeddings(version),
        **shown,
    }
    return render(request, "console/assistants/assistant.html", context)
