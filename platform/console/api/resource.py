"""The base class of every resource of the management API."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

import orjson
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django_filters import FilterSet
from rest_framework.response import Response

from console.api import cursor
from console.api.acts import MARK, Act, Need, Who
from console.api.problem import Problem, bad_request, denied, first_or_404, scope_missing
from console.api.strict_input import Shape, as_json
from console.api.transactional_view import TransactionalView
from tenants.models import Tenant, User
from tenants.operator_scopes import OperatorScope
from tenants.roles import Permission


class Resource(TransactionalView):
    """A view set of one kind of row."""

    acts: ClassVar[dict[str, Act]]
    needs: ClassVar[dict[str, Need]]  # by act
    operator_scopes: ClassVar[dict[str, tuple[OperatorScope, ...]]]  # by act that they open
    shape: ClassVar[type[Shape]]  # serializes a row
    orderings: ClassVar[tuple[str, ...]] = ("-created_at", "created_at")
    volatile: ClassVar[tuple[str, ...]] = ()  # fields that change by themselves: not in the ETag
    # Status, code and text of the models' exceptions; without a text, it is the exception's own.
    refusals: ClassVar[dict[type[Exception], tuple[int, str, str | Promise]]] = {}

    def __init_subclass__(cls) -> None:
        methods: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            methods.update(vars(base))
        marked = {name: getattr(method, MARK, None) for name, method in methods.items()}
        cls.acts = {name: act for name, act in marked.items() if isinstance(act, Act)}
        cls.needs = {name: act.need for name, act in cls.acts.items()}
        cls.operator_scopes = {name: act.scopes for name, act in cls.acts.items() if act.scopes}

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Raises TypeError as the URLs load if an act has no need."""
        if missing := set((actions or {}).values()) - set(cls.acts):
            raise TypeError(f"{cls.__name__} does not say who may {', '.join(sorted(missing))}")
        return super().as_view(actions, **initkwargs)

    def rows(self) -> QuerySet[Any]:
        """Returns the rows of the tenant, or of the platform."""
        raise NotImplementedError

    @property
    def act(self) -> Act:
        return self.acts[str(self.action)]

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
        key, opening = self.who.operator_key, self.act.scopes
        if key is None or set(opening) & set(key.scopes):
            return
        if not opening:
            text = _("No scope of an operator key opens this: sign in to the console.")
            raise denied(text, "person_needed")
        raise scope_missing(opening)

    def refuse_unless_allowed(self) -> None:
        need = self.act.need
        by_key = self.who.operator_key is not None  # its scope opens this act
        if need is Who.OPERATOR and not (self.who.is_operator or by_key):
            raise denied(_("Only platform operators can do this."))
        if isinstance(need, Permission) and need not in self.who.permissions:
            raise denied(_("This requires the permission %s in the tenant.") % need)

    def refuse_unknown_parameters(self) -> None:
        names = set(self.act.asks.base_filters if self.act.asks else ())
        names |= set(cursor.PARAMETERS if self.action == "list" else ())
        query = self.request.GET
        errors = {name: [_("There is no such parameter.")] for name in query.keys() - names}
        errors |= {name: [_("Send it once.")] for name, v in query.lists() if len(v) > 1}
        for name, value in query.items():
            if not str(value).strip() or "\0" in value:  # a filter of blanks would hold for all
                errors[name] = [_("It is empty, or holds a NUL.")]
        if errors:
            raise bad_request(errors)

    def handle_exception(self, exc: Exception) -> Any:
        for kind, (status, code, text) in self.refusals.items():
            if isinstance(exc, kind):
                return super().handle_exception(Problem(status, code, text or str(exc)))
        return super().handle_exception(exc)

    def respond_page(self, rows: QuerySet[Any]) -> Response:
        if self.act.asks:
            rows = self.checked_filters(rows).qs
        query = self.request.GET
        batch, following = cursor.page(rows, query, self.orderings, self._cursor_scope())
        results = self.shape(batch, many=True).data
        return Response({"results": results, "next_cursor": following})

    def checked_filters(self, rows: QuerySet[Any]) -> FilterSet:
        """Returns the query parameters, validated. Raises Problem."""
        assert self.act.asks
        checked = self.act.asks(self.request.GET, rows)
        if not checked.is_valid():
            raise bad_request(checked.errors)
        return checked

    def body(self) -> dict[str, Any]:
        """Returns the fields that were sent, validated. Raises ValidationError."""
        assert self.act.takes
        serializer = self.act.takes(data=self.request.data, partial=self.request.method == "PATCH")
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def row(self, rows: QuerySet[Any] | None = None) -> Any:
        """Returns the row that the path names last. Raises Problem."""
        *_before, named = self.kwargs.values()
        rows = self.rows() if rows is None else rows
        return first_or_404(rows.filter(**{self.lookup_field: named}))

    def row_to_change(self) -> Any:
        """Return it, locked until the transaction ends. Raises Problem unless If-Match fits."""
        row = self.row(self.rows().select_for_update(of=("self",), no_key=True))
        self.check_if_match(row)
        return row

    def named(self, rows: Any, field: str, text: str | Promise, **lookup: Any) -> Any:
        """Returns the row that a field of the body names. Raises Problem with the text."""
        row = rows.filter(**lookup).first()
        if row is None:
            raise bad_request({field: [text]})
        return row

    def refuse_taken(self, name: str) -> None:
        if self.rows().filter(name=name).exists():
            raise Problem(409, "name_taken", _("This name is taken."))

    def person(self) -> User:
        """Returns the caller. Raises Problem for a key."""
        if self.who.user is None:
            raise denied(_("API keys cannot do this. A person has to."))
        return self.who.user

    def check_if_match(self, row: Any) -> None:
        if_match = self.request.headers.get("If-Match")
        if if_match is None:
            text = _("Send If-Match with the ETag of what you have read.")
            raise Problem(428, "precondition_required", text)
        tags = {tag.strip() for tag in if_match.split(",")}
        if "*" not in tags and self.etag(self.shape(row).data) not in tags:
            raise Problem(412, "changed_meanwhile", _("It has changed since you read it."))

    def call(self, verb: str, **fields: Any) -> Response:
        """Call a method of the row of the path, which returns the row as it is then, or None."""
        deletes = self.request.method == "DELETE"
        row = self.row_to_change() if deletes or self.request.method == "PATCH" else self.row()
        changed = getattr(row, verb)(by=self.actor, **fields)
        return Response(status=204) if deletes else self.respond(changed or row)

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
