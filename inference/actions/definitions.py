"""Creates and changes actions, after checks of URL, schemas and texts."""

import re
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from inference.actions import review, schemas
from inference.models import WebhookAction
from inference.models.assistants.webhook_action import LANGUAGES, LONGEST_TEXT, LONGEST_TIMEOUT_S
from infrastructure.webhooks import addresses, signing
from tenants.models import Tenant
from tenants.models.model_changes import lock

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,60})\s*\}\}")
ANYTHING: dict[str, Any] = {"type": "object"}  # an answer whose content nobody needs


def create(tenant: Tenant, *, by: str, **fields: Any) -> tuple[WebhookAction, str]:
    """Create an action. Returns it and its secret, which is shown once. Raises ValidationError."""
    action = WebhookAction(tenant=tenant, **fields)
    _check(action)
    if review.is_called_by_approved(tenant.pk, action.name):
        text = _("An approved assistant calls an action of this name: take another name.")
        raise ValidationError({"name": text})
    secret = signing.new_secret()
    return action.create(secret, by=by), secret


def change(action: WebhookAction, *, by: str, **fields: Any) -> WebhookAction:
    """Change it; what needs a second person waits as its proposal. Raises ValidationError."""
    present = {name: getattr(action, name) for name in _CHECKED}
    _check(WebhookAction(**{**present, **fields}))
    with transaction.atomic():
        lock(action)
        held = review.held_back(action, fields)
        action.change(by=by, **{name: fields[name] for name in fields if name not in held})
        if held:
            action.propose(held, by=by)
    return action


def rotate(action: WebhookAction, overlap: timedelta, *, by: str) -> str:
    """Replace the secret. Returns the new one, which is shown once. Raises ValidationError."""
    secret = signing.new_secret()
    action.rotate(secret, overlap, by=by)
    return secret


def placeholders(text: str) -> list[str]:
    return _PLACEHOLDER.findall(text)


def filled(text: str, values: dict[str, Any]) -> str:
    """Returns the text with `{{name}}` replaced; a value that is missing leaves nothing."""
    return _PLACEHOLDER.sub(lambda match: _plain(values.get(match[1])), text)


_CHECKED = ("url", "arguments", "answer", "timeout_s", "description", "on_success", "on_failure")


def _check(action: WebhookAction) -> None:
    addresses.check(action.url)
    for name in ("arguments", "answer"):
        try:
            schemas.check(getattr(action, name))
        except ValidationError as problem:
            raise ValidationError({name: problem.messages}) from None
    if not 1 <= action.timeout_s <= LONGEST_TIMEOUT_S:
        text = _("From 1 to %d seconds.") % LONGEST_TIMEOUT_S
        raise ValidationError({"timeout_s": text})
    for name in ("description", "on_success", "on_failure"):
        _check_texts(name, getattr(action, name))
    known = {*_fields(action.arguments), *_fields(action.answer)}
    for name in ("on_success", "on_failure"):
        _check_placeholders(name, getattr(action, name), known)


def _check_texts(name: str, texts: Any) -> None:
    if not isinstance(texts, dict) or not set(texts) <= set(LANGUAGES):
        raise ValidationError({name: _("Give texts by language: en and zh.")})
    if any(not isinstance(text, str) or len(text) > LONGEST_TEXT for text in texts.values()):
        raise ValidationError({name: _("A text has at most %d characters.") % LONGEST_TEXT})


def _check_placeholders(name: str, texts: dict[str, str], known: set[str]) -> None:
    for text in texts.values():
        for placeholder in placeholders(text):
            if placeholder not in known:
                problem = _("Neither the arguments nor the answer have a field %s.") % placeholder
                raise ValidationError({name: problem})


def _fields(schema: dict[str, Any]) -> list[str]:
    properties = schema.get("properties")
    return list(properties) if isinstance(properties, dict) else []


def _plain(value: Any) -> str:
    return str(value)[:200] if isinstance(value, str | int | float) else ""
