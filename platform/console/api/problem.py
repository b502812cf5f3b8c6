"""Every error of the management API has one shape: RFC 9457 problem details."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from django.core import exceptions
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from redis import RedisError
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    MethodNotAllowed,
    NotAuthenticated,
    ParseError,
    ValidationError,
)

from tenants import secret_keys

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Model)
TYPE = "urn:forebay:problem:"
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that undoes the transaction and is sent to the caller as problem details.

    `errors` maps field names to messages; those about no single field are under "".
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str | Promise,
        *,
        errors: dict[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        refusal_id: str = "",
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, str(detail)
        self.errors, self.headers = errors, dict(headers or {})
        self.refusal_id = refusal_id

    def answer(self, request: HttpRequest) -> HttpResponse:
        body: dict[str, Any] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": secret_keys.hidden(request.path.encode(errors="replace").decode()),
        }
        if self.errors:
            body["errors"] = self.errors
        if self.refusal_id:
            body["refusal_id"] = self.refusal_id
        return HttpResponse(json.dumps(body), MEDIA_TYPE, self.status, headers=self.headers)


def not_found() -> Problem:
    return Problem(404, "not_found", _("There is nothing here, or nothing that you may see."))


def first_or_404(rows: QuerySet[M]) -> M:
    """Returns the first row. Raises Problem where there is none."""
    row = rows.first()
    if row is None:
        raise not_found()
    return row


def denied(text: str | Promise, code: str = "permission_denied") -> Problem:
    return Problem(403, code, text)


def scope_missing(scopes: Sequence[str]) -> Problem:
    text = _("This operator key lacks the scope %s.") % " / ".join(scopes)
    return denied(text, "scope_missing")


def bad_request(errors: Mapping[str, Iterable[object]]) -> Problem:
    texts = {name: [*map(str, of_field)] for name, of_field in errors.items()}
    return Problem(400, "invalid", _("The request is invalid."), errors=texts)


def problem_of(raised: Exception) -> Problem:
    """Returns the problem that tells the caller about an exception, without internal details."""
    if isinstance(raised, Problem):
        return raised
    if isinstance(raised, (Http404, exceptions.ObjectDoesNotExist)):  # also: removed meanwhile
        return not_found()
    if isinstance(raised, (ValidationError, exceptions.ValidationError)):
        return bad_request(dict(_fields(raised)))
    if isinstance(raised, APIException):
        return _of_rest_framework(raised)
    if isinstance(raised, RedisError):
        return Problem(503, "unavailable", _("Redis is unavailable. Try again."))
    return _of_database(raised)


def _of_rest_framework(raised: APIException) -> Problem:
    headers = {}
    if isinstance(raised, (NotAuthenticated, AuthenticationFailed)):
        headers["WWW-Authenticate"] = 'Bearer realm="forebay"'
    code = "malformed" if isinstance(raised, ParseError) else raised.default_code
    if isinstance(raised, MethodNotAllowed):
        code = "method_not_allowed"
    return Problem(raised.status_code, code, str(raised.detail), headers=headers)


def _of_database(raised: Exception) -> Problem:
    if isinstance(raised, (OperationalError, InterfaceError)):
        text = _("The database is unavailable. Try again in a moment.")
        return Problem(503, "unavailable", text, headers={"Retry-After": "2"})
    if isinstance(raised, IntegrityError):
        return Problem(
            409, "conflict", _("This conflicts with another change made at the same time.")
        )
    if isinstance(raised, DataError):
        return Problem(400, "invalid", _("A value is too large, or nothing that can be stored."))
    log.error("management API request failed", exc_info=raised)
    return Problem(500, "internal", _("Something went wrong. The error has been logged."))


def _fields(
    raised: ValidationError | exceptions.ValidationError,
) -> Iterator[tuple[str, list[str]]]:
    if isinstance(raised, ValidationError):
        yield from _flat("", raised.detail)
    elif hasattr(raised, "error_dict"):
        for name, messages in raised.message_dict.items():
            yield "" if name == exceptions.NON_FIELD_ERRORS else name, messages
    else:
        yield "", raised.messages


def _flat(name: str, messages: Any) -> Iterator[tuple[str, list[str]]]:
    """Yields messages of nested fields by dotted names: `{"scopes": {0: ["…"]}}` as `scopes.0`."""
    if isinstance(messages, dict):
        for key, value in messages.items():
            below = "" if key == "non_field_errors" else str(key)
            yield from _flat(f"{name}.{below}".strip("."), value)
    elif isinstance(messages, list):
        yield name, [str(text) for text in messages]
    else:
        yield name, [str(messages)]
