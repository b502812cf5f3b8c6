"""The base class of every resource of the management API."""

from collections.abc import Mapping
from enum import Enum, auto
from hashlib import sha256
from typing import Any, ClassVar

import orjson
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters import FilterSet
from rest_framework.response import Response

from console.api import cursor
from console.api.problem import Problem, bad_request, not_found
from console.api.requester import denied, scope_missing
from console.api.strict_input import Shape, as_json
from console.api.transactional_view import TransactionalView
from tenants.models import Tenant
from tenants.operator_scopes import OperatorScope
from tenants.roles import Permission


class Who(Enum):
    """Needs that are no permission in a tenant."""

    ANYBODY = auto()  # signed in, or with a key
    OPERATOR = auto()


class Resource(TransactionalView):
    """A view set of one kind of row. Requests and the OpenAPI schema read its tables."""

    needs: ClassVar[dict[str, Permission | Who]]  # by act
    # Acts that a key of an operator opens with one of these scopes. All others are for people.
    operator_scopes: ClassVar[dict[str, tuple[OperatorScope, ...]]] = {}
    takes: ClassVar[dict[str, type[Shape]]] = {}  # bodies, by act
    shape: ClassVar[type[Shape]]  # serializes a row
    gives: ClassVar[dict[str, type[Shape]]] = {}  # acts that answer with another shape
    creates: ClassVar[tuple[str, ...]] = ("create",)  # acts that answer 201
    files: ClassVar[dict[str, tuple[str, ...]]] = {}  # acts that answer with a file: media types
    asks: ClassVar[dict[str, type[FilterSet]]] = {}  # query parameters, by act
    orderings: ClassVar[tuple[str, ...]] = ("-created_at", "created_at")
    volatile: ClassVar[tuple[str, ...]] = ()  # fields that change by themselves: not in the ETag

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Raises TypeError as the URLs load if an act has no need."""
        if missing := set((actions or {}).values()) - set(cls.needs):
            raise TypeError(f"{cls.__name__} does not say who may {', '.join(sorted(missing))}")
        return super().as_view(actions, **initkwargs)

    @property
    def url_tenant(self) -> Tenant:
        """Returns the tenant of the URL."""
        assert self.tenant
        return self.tenant

    @property
    def actor(self) -> str:
        return self.who.actor

    def refuse_beyond_scopes(self) -> None:
        """Refuses a key of an operator whose scopes do not open the act. Raises Problem.

        This comes before the tenant is looked up, so that the key learns of none.
        """
        key = self.who.operator_key
        opening = self.operator_scopes.get(str(self.action), ())
        if key is None or set(opening) & set(key.scopes):
            return
        if not opening:
            text = _("No scope of an operator key opens this: sign in to the console.")
            raise denied(text, "person_needed")
        raise scope_missing(opening)

    def refuse_unless_allowed(self) -> None:
        need = self.needs[str(self.action)]
        by_key = self.who.operator_key is not None  # its scope opens this act
        if need is Who.OPERATOR and not (self.who.is_operator or by_key):
            raise denied(_("Only platform operators can do this."))
        if isinstance(need, Permission) and need not in self.who.permissions:
            raise denied(_("This requires the permission %s in the tenant.") % need)

    def refuse_unknown_parameters(self) -> None:
        filters = self.asks.get(str(self.action))
        names = set(filters.base_filters if filters else ())
        names |= set(cursor.PARAMETERS if self.action == "list" else ())
        query = self.request.GET
        errors = {name: [_("There is no such parameter.")] for name in query.keys() - names}
        errors |= {name: [_("Send it once.")] for name, v in query.lists() if len(v) > 1}
        for name, value in query.items():
            if not str(value).strip() or "\0" in value:  # a filter of blanks would hold for all
                errors[name] = [_("It is empty, or holds a NUL.")]
        if errors:
            raise bad_request(errors)

    def respond_page(self, rows: QuerySet[Any]) -> Response:
        if "list" in self.asks:
            rows = self.checked_filters(rows).qs
        query = self.request.GET
        batch, following = cursor.page(rows, query, self.orderings, self._cursor_scope())
        results = self.shape(batch, many=True).data
        return Response({"results": results, "next_cursor": following})

    def checked_filters(self, rows: QuerySet[Any]) -> FilterSet:
        """Returns the query parameters, validated. Raises Problem."""
        filters = self.asks[str(self.action)](self.request.GET, rows)
        if not filters.is_valid():
            raise bad_request({k: [str(t) for t in v] for k, v in filters.errors.items()})
        return filters

    def body(self) -> dict[str, Any]:
        """Returns the fields that were sent, validated. Raises ValidationError."""
        shape = self.takes[str(self.action)]
        serializer = shape(data=self.request.data, partial=self.request.method == "PATCH")
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def get_or_404(self, rows: QuerySet[Any], **lookup: Any) -> Any:
        row = rows.filter(**lookup).first()
        if row is None:
            raise not_found()
        return row

    def get_for_change(self, rows: QuerySet[Any], **lookup: Any) -> Any:
        """Return a row, locked until the transaction ends. Raises Problem unless If-Match fits."""
        row = self.get_or_404(rows.select_for_update(of=("self",), no_key=True), **lookup)
        self.check_if_match(row)
        return row

    def check_if_match(self, row: Any) -> None:
        if_match = self.request.headers.get("If-Match")
        if if_match is None:
            text = _("Send If-Match with the ETag of what you have read.")
            raise Problem(428, "precondition_required", text)
        tags = {tag.strip() for tag in if_match.split(",")}
        if "*" not in tags and self.etag(self.shape(row).data) not in tags:
            raise Problem(412, "changed_meanwhile", _("It has changed since you read it."))

    def respond(self, row: Any, status: int = 200, at: Any = "", **more: Any) -> Response:
        """Serialize the row. `at` is what a new row is called in its path if that is not its id."""
        body = self.shape(row).data
        headers = {"ETag": self.etag(body)}
        if status == 201:
            headers["Location"] = f"{self.request.path}{at or body['id']}/"
        return Response({**body, **more}, status, headers=headers)

    def etag(self, body: Mapping[str, Any]) -> str:
        steady = {name: value for name, value in body.items() if name not in self.volatile}
        return f'"{sha256(as_json(steady, orjson.OPT_SORT_KEYS)).hexdigest()[:32]}"'

    def _cursor_scope(self) -> str:
        return f"{self.tenant.id if self.tenant else self.actor}:{self.request.path}"
