"""The steps of every request to the management API.

A request is one transaction, inside the scope of its tenant: an answer that is an error undoes all
of it. A denial, and a refusal of a gate, are put on record afterwards, in a transaction of their
own.
"""

from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from audit.actions import Action
from audit.trail.record import act
from audit.trail.request_origin import acting_with
from audit.trail.truncated_address import network
from console import operator_access
from console.api import call_rate
from console.api.idempotency import IdempotentCall, idempotent_call
from console.api.problem import problem_of
from console.api.requester import Requester, refuse_where_closed, refuse_where_restricted
from console.client_network import client_ip
from inference.intake.context import context_if_any
from inference.models.recorded_refusal import RecordedRefusal
from tenants.models import Tenant
from tenants.refusals.recorder import RefusedCall
from tenants.scope import person_scope, system_scope, tenant_scope


class _Undone(Exception):
    """Carries an error's answer out of the transaction."""

    def __init__(self, answer: HttpResponseBase) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class _AnsweredBefore(Exception):
    """The same request was answered before."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__()
        self.answer = answer


class TransactionalView(GenericViewSet[Any]):
    http_method_names = ["get", "head", "post", "patch", "delete"]
    who: Requester
    tenant: Tenant | None
    idempotent: IdempotentCall | None
    refusal: RecordedRefusal | None
    while_restricted: ClassVar[tuple[str, ...]] = ()  # acts that check for themselves

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.tenant = self.idempotent = self.refusal = None
        try:
            answer = self._in_transaction(request, *args, **kwargs)
        except _Undone as undone:
            answer = undone.answer
            self._record_if_denied(request, answer)
            self._record_refusal()
        except Exception as problem:  # of the transaction itself: at its begin or its commit
            answer = problem_of(problem).answer(request)
        add_never_cache_headers(answer)
        return answer

    def _in_transaction(self, request: HttpRequest, *args: Any, **kw: Any) -> HttpResponseBase:
        with ExitStack() as self._scopes:
            answer = super().dispatch(request, *args, **kw)
            if answer.status_code >= 400:
                raise _Undone(answer)
            if self.idempotent and isinstance(answer, Response):
                self.idempotent.remember(answer.status_code, dict(answer.headers), answer.data)
        return answer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check rate, sign-in, tenant and permission, and enter the scope of the tenant.

        The scope stays open until the transaction ends.
        """
        if (request.method or "").lower() not in self.action_map:
            self.http_method_not_allowed(request)
        self.format_kwarg = None
        negotiated = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = negotiated
        call_rate.check_address(request)
        if not isinstance(request.auth, Requester):
            raise NotAuthenticated
        self.who = request.auth
        call_rate.check_key(request, self.who)
        refuse_where_closed(request, self.who)
        self.refuse_beyond_scopes()
        if "tenant" in kwargs:
            self.who, self.tenant = self.who.in_tenant(kwargs["tenant"])
        self.refuse_unless_allowed()
        self.refuse_unknown_parameters()
        with self.scope():
            if self.action not in self.while_restricted:
                refuse_where_restricted(request, self.who)
            self.idempotent = idempotent_call(request, self.tenant, self.who.actor)
        self._scopes.enter_context(self.scope())
        self._scopes.enter_context(acting_with(self._operator_key_detail()))
        self._record_operator(request)
        if self.idempotent and (earlier := self.idempotent.earlier_answer()):
            raise _AnsweredBefore(earlier)

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, _AnsweredBefore):
            self.idempotent = None
            return exc.answer
        if isinstance(exc, RecordedRefusal):
            self.refusal = exc
        return problem_of(exc).answer(self.request._request)

    def refuse_beyond_scopes(self) -> None:
        raise NotImplementedError

    def refuse_unless_allowed(self) -> None:
        raise NotImplementedError

    def refuse_unknown_parameters(self) -> None:
        raise NotImplementedError

    def _record_operator(self, request: Request) -> None:
        operates = self.who.is_operator or self.who.operator_key
        if self.tenant and operates and not self.who.member:
            operator_access.record(request._request, self.who.actor, self.tenant)

    def _operator_key_detail(self) -> dict[str, str]:
        key = self.who.operator_key
        return key.described if key else {}

    def scope(self) -> AbstractContextManager[None]:
        user = self.who.user
        if self.tenant:
            return tenant_scope(self.tenant.id, user.pk if user else None)
        if self.who.key:
            return tenant_scope(self.who.key.tenant_id)
        if user and not user.is_operator:
            return person_scope(user.pk)
        return system_scope()

    def _record_refusal(self) -> None:
        if self.refusal:
            with self.scope(), acting_with(self._operator_key_detail()):
                self.refusal.record()

    def _record_if_denied(self, request: HttpRequest, answer: HttpResponseBase) -> None:
        """Record a 403, and a stranger's try of a tenant: 404 for them, denied in that trail."""
        if answer.status_code == 401:
            _count_unauthenticated(request)
        who: Requester | None = getattr(self, "who", None)
        stranger = answer.status_code == 404 and "tenant" in self.kwargs and not self.tenant
        if who is None or not (answer.status_code == 403 or stranger):
            return
        tenant = self.tenant or (who.key.tenant if who.key else None)
        scope = tenant_scope(tenant.id) if tenant else system_scope()
        with scope, acting_with(self._operator_key_detail()):
            act(
                Action.ACCESS_DENIED,
                actor=who.actor,
                tenant_id=tenant.id if tenant else None,
                success=False,
                client_net=network(client_ip(request)),
                detail={"route": f"{request.method} {request.path}"[:200]},
            )


def _count_unauthenticated(request: HttpRequest) -> None:
    """Count a request without a valid key or session; counts are summed up, so a flood is cheap."""
    code = "invalid_api_key" if "Authorization" in request.headers else "not_authenticated"
    match = request.resolver_match
    who = RefusedCall(
        tenant_id=None,
        actor="unknown",
        route=f"/{match.route}" if match else call_rate.ROUTE,
        client_net=network(client_ip(request)),
    )
    if context := context_if_any(request):
        context.refusals.denied_from_thread(who, 401, code)
