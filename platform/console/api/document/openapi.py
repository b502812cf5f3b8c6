"""The OpenAPI schema, built from what each act says of itself and the errors of every act."""

from functools import cache
from typing import Any, Final

import django_filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from console.api import cursor, idempotency
from console.api.acts import Need, Who
from console.api.document.examples import of_answer, of_body
from console.api.problem import MEDIA_TYPE
from console.api.resource import Resource
from tenants.operator_scopes import OperatorScope

QUERY: Final = OpenApiParameter.QUERY
HEADER: Final = OpenApiParameter.HEADER


class ProblemShape(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="urn:forebay:problem:<code>, for programs to compare.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="Explanation for people.")
    instance = serializers.CharField(help_text="The requested path.")
    # DRF takes declared fields out of the class: Serializer.errors stays
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Messages by field; those about no single field are under the empty name.",
    )
    refusal_id = serializers.CharField(
        required=False, help_text="Id of a 429, which the tenant's refusals explain."
    )

    class Meta:
        ref_name = "Problem"


PROBLEMS = {
    400: "A field or parameter is wrong or unknown.",
    401: "No valid key or session.",
    403: "Not allowed; recorded in the audit trail.",
    404: "It does not exist, or belongs to somebody else.",
    405: "There is no such method here; `Allow` lists the methods.",
    406: "Answers are JSON only.",
    409: "It conflicts with the present state, or the same request is in progress.",
    412: "It has changed since it was read (If-Match).",
    413: "The body is too large.",
    415: "Only JSON is accepted.",
    422: "The idempotency key was used for another request.",
    428: "If-Match is missing.",
    429: "Too many calls; `Retry-After` gives the seconds to wait.",
    503: "The database does not answer.",
}
_ALWAYS = {400, 401, 403, 404, 405, 406, 429, 503}
_WITH_BODY = {"POST": {409, 413, 415, 422}, "PATCH": {409, 412, 413, 415, 428}}
_BY_METHOD = _WITH_BODY | {"DELETE": {409, 412, 428}}
_KINDS: dict[type[django_filters.Filter], dict[str, Any]] = {
    django_filters.UUIDFilter: {"type": "string", "format": "uuid"},
    django_filters.IsoDateTimeFilter: {"type": "string", "format": "date-time"},
    django_filters.DateFilter: {"type": "string", "format": "date"},
    django_filters.CharFilter: {"type": "string", "minLength": 1},
    django_filters.BooleanFilter: {"type": "boolean"},
    django_filters.NumberFilter: {"type": "integer"},
    django_filters.ChoiceFilter: {"type": "string"},
}


_TEXT: dict[str, Any] = {"type": "string", "format": "binary"}
_ROWS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
_JSON: dict[str, Any] = {"anyOf": [_ROWS, {"type": "object"}]}
_FILES = {
    "text/csv": _TEXT,
    "text/html": _TEXT,
    "application/x-ndjson": _TEXT,
    "application/octet-stream": _TEXT,
    "application/zip": _TEXT,
    "application/json": _JSON,
}
_NEEDS: dict[Need, str] = {
    Who.OPERATOR: "For operators of the platform.",
    Who.ANYBODY: "For everybody who is signed in or has a key.",
}


class ResourceSchema(AutoSchema):
    view: Resource  # type: ignore[override]  # every view that it describes is one

    def get_tags(self) -> list[str]:
        return [type(self.view).__name__]

    def get_operation_id(self) -> str:
        return f"{type(self.view).__name__}_{self.view.action}".lower()

    def get_summary(self) -> str:
        return self._paragraphs()[0]

    def get_description(self) -> str:  # type: ignore[override]  # so is drf-spectacular's
        act = self.view.act
        paragraphs = [*self._paragraphs()[1:], _NEEDS.get(act.need) or f"Needs `{act.need}`."]
        if act.scopes:
            scopes = " or ".join(f"`{scope}`" for scope in act.scopes)
            paragraphs.append(f"A key of an operator needs the scope {scopes}.")
        return "\n\n".join(paragraphs)

    def get_auth(self) -> list[dict[str, Any]]:
        """Leaves out the schemes that do not open the act."""
        closed = set() if self.view.act.scopes else {"operatorKey"}
        if self.view.act.need is Who.OPERATOR:
            closed.add("apiKey")
        return [auth for auth in super().get_auth() if not closed & auth.keys()]

    def get_extensions(self) -> dict[str, Any]:
        """Adds the scopes for programs: OpenAPI 3.0 has none for keys sent as Bearer."""
        scopes = [str(scope) for scope in self.view.act.scopes]
        return {"x-operator-key-scopes": scopes} if scopes else {}

    def get_request_serializer(self) -> Any:
        return self.view.act.takes

    def get_response_serializers(self) -> Any:
        shape: Any = self.view.act.gives or self.view.shape
        if self.view.action == "list":
            shape = self._page_of(shape)
        responses: dict[Any, Any] = {
            (200, media): OpenApiResponse(_FILES[media], "The file.")
            for media in self.view.act.files
        }
        if self.view.action == "destroy":
            responses[204] = OpenApiResponse(description="Done.")
        elif not responses:
            responses[self._status()] = OpenApiResponse(shape, "Done.")
        errors = _ALWAYS | _BY_METHOD.get(self.method, set())
        for status in sorted(errors):
            responses[status, MEDIA_TYPE] = OpenApiResponse(ProblemShape, PROBLEMS[status])
        return responses

    def get_override_parameters(self) -> list[Any]:
        parameters = [*self._filters(), *self._response_headers()]
        if self.view.action == "list":
            parameters += self._paging()
        if self.method == "POST":
            text = "Sent twice with the same key within 24 hours, it is done once."
            schema = {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST}
            schema["pattern"] = "^[ -~]+$"
            parameters.append(
                OpenApiParameter(idempotency.HEADER, schema, HEADER, description=text)
            )
        if self.method in ("PATCH", "DELETE"):
            text = 'The ETag of what was read, or "*".'
            parameters.append(OpenApiParameter("If-Match", str, HEADER, True, description=text))
        return parameters

    def get_examples(self) -> list[OpenApiExample]:
        act, examples = self.view.act, []
        if act.takes and (body := of_body(act.takes)):
            examples.append(OpenApiExample("A request", body, request_only=True))
        if self.view.action != "destroy":
            answer = of_answer((act.gives or self.view.shape)())
            if self.view.action == "list":
                answer = {"results": [answer], "next_cursor": None}
            statuses = [str(self._status())]
            examples.append(
                OpenApiExample("An answer", answer, response_only=True, status_codes=statuses)
            )
        return examples

    def _status(self) -> int:
        return 201 if self.view.act.creates or self.view.action == "create" else 200

    def _get_serializer_name(
        self, serializer: Any, direction: Any, bypass_extensions: bool = False
    ) -> str:
        name = super()._get_serializer_name(serializer, direction, bypass_extensions)
        return name.replace("Shape", "")

    def _paragraphs(self) -> list[str]:
        """Returns the paragraphs of the act's docstring."""
        doc = getattr(self.view, str(self.view.action)).__doc__ or ""
        return [" ".join(part.split()) for part in doc.split("\n\n")]

    def _filters(self) -> list[OpenApiParameter]:
        filters = self.view.act.asks.base_filters if self.view.act.asks else {}
        return [
            OpenApiParameter(name, _schema(one), QUERY, one.extra["required"])
            for name, one in filters.items()
        ]

    def _paging(self) -> list[OpenApiParameter]:
        limit = {"type": "integer", "minimum": 1, "maximum": cursor.MOST, "default": cursor.USUAL}
        order = {"type": "string", "enum": [*self.view.orderings]}
        text = "The last answer's `next_cursor`."
        return [
            OpenApiParameter("cursor", {"type": "string", "minLength": 1}, QUERY, description=text),
            OpenApiParameter("limit", limit, QUERY),
            OpenApiParameter("ordering", order, QUERY),
        ]

    def _response_headers(self) -> list[OpenApiParameter]:
        headers = [
            OpenApiParameter("Retry-After", int, HEADER, response=[429, 503]),
            OpenApiParameter("X-Refusal-Id", str, HEADER, response=[429]),
        ]
        if self.view.action == "retrieve":
            headers.append(OpenApiParameter("ETag", str, HEADER, response=[200]))
        return headers

    def _page_of(self, shape: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
        name = self._get_serializer_name(shape(), "response") + "Page"
        # _is_list_view would make an array of it
        return _not_a_list(_page(name, shape))


@cache
def _page(name: str, shape: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """Returns the same class for each list of a shape."""
    fields = {
        "results": shape(many=True),
        "next_cursor": serializers.CharField(allow_null=True),
    }
    return type(name, (serializers.Serializer,), fields)


def _not_a_list(page: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    from drf_spectacular.drainage import set_override

    set_override(page, "many", False)
    return page()


def _schema(one: django_filters.Filter) -> dict[str, Any]:
    schema = dict(
        next(schema_of_kind for kind, schema_of_kind in _KINDS.items() if isinstance(one, kind))
    )
    if "choices" in one.extra:
        schema["enum"] = [value for value, _label in one.extra["choices"]]
    for bound, name in (("min_value", "minimum"), ("max_value", "maximum")):
        if bound in one.extra:
            schema[name] = one.extra[bound]
    if longest := one.extra.get("max_length"):
        schema["maxLength"] = longest
    return schema


class _KeyScheme(OpenApiAuthenticationExtension):
    target_class = "console.api.requester.KeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "An API key with the scope management:read, management:write or audit:read."
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sk-fb-…", "description": text}


class _OperatorKeyScheme(OpenApiAuthenticationExtension):
    target_class = "console.api.requester.OperatorKeyAuthentication"
    name = "operatorKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        scopes = ", ".join(OperatorScope)
        text = f"A key of an operator, with scopes out of {scopes}: see `x-operator-key-scopes`."
        bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "sk-fbop-…"}
        return {**bearer, "description": text}


class _SessionScheme(OpenApiAuthenticationExtension):
    target_class = "console.api.requester.PersonAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "A session of the console; what changes something also needs X-CSRFToken."
        return {"type": "apiKey", "in": "cookie", "name": "forebay_session", "description": text}


def closed_bodies(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Allow no further fields in request bodies. A hook of drf-spectacular."""
    for name, schema in result["components"].get("schemas", {}).items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
    return result
