"""An act on a model, a pool or an engine, and what its operator reads about it."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from redis import RedisError

from console.authorization import ConsoleRequest
from console.forms import ConsoleForm
from inference.models import FromFile


def acted(request: ConsoleRequest, act: Callable[[], object], said: str) -> None:
    """Says `said` when it is done, else why it is not."""
    try:
        with transaction.atomic():
            act()
    except FromFile as problem:
        messages.error(request, str(problem))
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    except RedisError:
        messages.error(request, _("Redis is unavailable. Try again in a moment."))
    else:
        messages.success(request, said)


def saved(form: ConsoleForm, act: Callable[[], object]) -> bool:
    """Whether it is done; if not, the form says why."""
    try:
        with transaction.atomic():
            act()
    except FromFile as problem:
        form.add_error(None, str(problem))
    except ValidationError as problem:
        form.refuse(problem)
    except IntegrityError:  # somebody else took the name in the same moment
        form.add_error("name" if "name" in form.fields else None, _("This name is taken."))
    return not form.errors
