"""Acts of pages on the models, with their outcome shown to the person who acts."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from redis import RedisError

from console.authorization import ConsoleRequest
from console.forms import ConsoleForm
from inference.models import FromFile
from inference.models.recorded_refusal import RecordedRefusal

Refusals = Mapping[Any, str | Promise]  # by the class of the exception


def act_and_report(
    request: ConsoleRequest,
    act: Callable[..., object],
    text: str | Promise,
    refusals: Refusals | None = None,
) -> None:
    """Call the act, and show `text` if it succeeds, else why it failed.

    `refusals` are the words for the model's own exceptions. Raises Http404 if somebody has removed
    its object meanwhile, or the same person by a second click.
    """
    try:
        with transaction.atomic():
            act(by=request.actor)
    except FromFile as problem:
        messages.error(request, str(problem))
    except ValidationError as problem:
        _record(problem)
        messages.error(request, " ".join(problem.messages))
    except RedisError:
        messages.error(request, _("Redis is unavailable. Try again in a moment."))
    except ObjectDoesNotExist:
        raise Http404 from None
    except tuple(refusals or ()) as problem:
        messages.error(request, _text_of(problem, refusals or {}))
    else:
        messages.success(request, str(text))


def report_and_leave(
    request: ConsoleRequest,
    act: Callable[..., object],
    text: str | Promise,
    page: str,
    refusals: Refusals | None = None,
    **place: Any,
) -> HttpResponse:
    """Do so, and redirect to the page; in a tenant, to that of the tenant."""
    act_and_report(request, act, text, refusals)
    if request.tenant:
        place["tenant"] = request.tenant.name
    answer: HttpResponse = redirect(page, **place)
    return answer


def saved(form: ConsoleForm, act: Callable[[], Any], refusals: Refusals | None = None) -> Any:
    """Call the act if the form was sent and is valid.

    Returns what the act returns, True for nothing, or None where the form says what is wrong.
    Raises Http404 if somebody has removed its object meanwhile.
    """
    if not form.is_valid():
        return None
    try:
        with transaction.atomic():
            return act() or True
    except FromFile as problem:
        form.add_error(None, str(problem))
    except ValidationError as problem:
        _record(problem)
        form.refuse(problem)
    except IntegrityError:  # somebody else took the name in the same moment
        form.add_error("name" if "name" in form.fields else None, _("This name is taken."))
    except ObjectDoesNotExist:
        raise Http404 from None
    except tuple(refusals or ()) as problem:
        form.add_error(None, _text_of(problem, refusals or {}))
    return None


def _text_of(problem: BaseException, refusals: Refusals) -> str:
    """Returns the words of the first class that the exception is of."""
    return next(str(text) for kind, text in refusals.items() if isinstance(problem, kind))


def _record(problem: ValidationError) -> None:
    """Put a gate's refusal on record, now that what it refused is undone."""
    if isinstance(problem, RecordedRefusal):
        problem.record()
