"""Specs of assistants in the bodies of requests, and their faults in answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from console.api.problem import bad_request, denied
from console.api.requester import Requester
from inference.assistants.faults import WrongSpec, converted
from inference.assistants.spec import AssistantSpec
from tenants.models import ApiKey, Member


def spec_of(value: Any) -> AssistantSpec:
    """Raises WrongSpec."""
    return converted(value)


@contextmanager
def checked() -> Iterator[None]:
    """Raises a Problem with the path of each fault for WrongSpec."""
    try:
        yield
    except WrongSpec as wrong:
        errors: dict[str, list[str]] = {}
        for fault in wrong.faults:
            path = f"spec.{fault.path}" if fault.path else "spec"
            errors.setdefault(path, []).append(fault.message)
        raise bad_request(errors) from None


def caller_of(who: Requester) -> ApiKey | Member:
    """Returns the key or member with whose limits models are asked. Raises Problem."""
    caller = who.key or who.member
    if caller is None:
        raise denied(_("Only a member or a key of the tenant can do this."))
    return caller
