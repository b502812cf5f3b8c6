"""Acts on models, pools and engines, with their outcome shown to the operator."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from redis import RedisError

from console.authorization import ConsoleRequest
from console.forms import ConsoleForm
from inference.models import FromFile


def act_and_report(request: ConsoleRequest, act: Callable[[], object], text: str) -> None:
    """Show `text` if the act succeeds, else why it failed."""
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
        messages.success(request, text)


def try_save(form: ConsoleForm, act: Callable[[], object]) -> bool:
    """Returns whether the act succeeded; if not, the form says why."""
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
