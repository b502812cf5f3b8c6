"""Deletion requests for the data of a person or key: requested, decided, executed and certified."""

import contextlib
from typing import Any
from uuid import UUID

import django_filters as f
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from audit.erasure import deletion, erasers
from audit.erasure.deletion import AlreadyBegun, AlreadyDecided, SamePerson
from audit.models import DeletionMode, DeletionRequest, DeletionState, ErasureStep
from console.api.acts import Act, Who, filters, listing, shape_of
from console.api.people import refuse_unless_among
from console.api.privacy.people import REFERENCE_HELP
from console.api.problem import bad_request, denied, not_found
from console.api.requester import Requester, refuse_where_restricted
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.privacy.refusal_texts import refusal_text
from tenants.models import Member
from tenants.models.people.reference import LONGEST_REFERENCE
from tenants.personal_data.deciders import Decider, RefusalReason
from tenants.personal_data.subject import Subject, find, find_person
from tenants.roles import Permission as P
from tenants.scope import person_scope

_OWNER_FIELDS = ("member", "key", "subject", "person")  # each names whose data it is


class DeletionShape(Shape):
    id = s.UUIDField()
    subject = s.UUIDField(source="subject_id", help_text="The pseudonym in the audit trail.")
    mode = s.ChoiceField(DeletionMode.choices)
    state = s.ChoiceField(DeletionState.choices)
    removes = s.BooleanField(help_text="The membership or key is deleted as well.")
    reason = s.CharField()
    answer = s.CharField(help_text="The reason for a refusal, a lift or a hold.")
    requested_by = s.CharField()
    requested_at = s.DateTimeField()
    due_at = s.DateTimeField(help_text="72 hours after the request, plus the time on hold.")
    approved_at = s.DateTimeField(allow_null=True)
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {"reason": "I am leaving", "answer": "", "due_at": "2026-02-03T08:00:00Z"}


class StepShape(Shape):
    store = s.CharField()
    name = s.SerializerMethodField(help_text="The name of the store, for people.")
    attempts = s.IntegerField()
    problem = s.CharField()
    finished_at = s.DateTimeField(allow_null=True)

    def get_name(self, step: ErasureStep) -> str:
        return erasers.label(step.store)


class WholeDeletion(DeletionShape):
    steps = s.SerializerMethodField(help_text="The stores of data, with the outcome in each.")
    certificate = s.JSONField(allow_null=True, help_text="Signed; verifies offline.")
    EXAMPLE = {
        **DeletionShape.EXAMPLE,
        "steps": [
            {
                "store": "texts",
                "name": "Prompts and answers in the audit trail",
                "attempts": 1,
                "problem": "",
                "finished_at": "2026-01-31T09:00:03Z",
            }
        ],
    }

    def get_steps(self, request: DeletionRequest) -> list[dict[str, Any]]:
        return [dict(StepShape(step).data) for step in request.steps.order_by("id")]


class NewDeletion(Shape):
    mode = s.ChoiceField(DeletionMode.choices)
    member = s.UUIDField(required=False, help_text="The member. Without it and `key`: yourself.")
    key = s.UUIDField(required=False)
    subject = s.UUIDField(
        required=False,
        help_text="The pseudonym of a former member, a deleted key, or a person who is no member.",
    )
    person = s.CharField(
        max_length=LONGEST_REFERENCE, required=False, help_text=f"{REFERENCE_HELP} Not stored."
    )
    removes = s.BooleanField(default=False, help_text="The membership or key is deleted as well.")
    reason = s.CharField(max_length=deletion.LONGEST_TEXT, required=False, allow_blank=True)
    EXAMPLE = {"member": "0192e6a0-44ee-7c6e-9f6e-1f2a3b4c5d6e"}


Refusal = shape_of(
    "Refusal",
    answer=s.CharField(max_length=deletion.LONGEST_TEXT, help_text="The requester will read it."),
)


class Deletions(Resource):
    shape = DeletionShape
    orderings = ("-requested_at", "requested_at")
    while_restricted = ("create",)
    refusals = {
        AlreadyBegun: (409, "already_begun", _("This request is already being executed.")),
        AlreadyDecided: (409, "already_decided", _("This request has already been decided.")),
    }

    def rows(self) -> QuerySet[DeletionRequest]:
        rows = DeletionRequest.objects.filter(tenant_id=self.url_tenant.id)
        if self._decides:
            return rows
        own = Q(requested_by=self.actor)
        me = self.who.member or self.who.key
        return rows.filter(own | Q(subject_id=me.subject_id) if me else own)

    list = listing(
        Who.ANYBODY,
        "List deletion requests: all of the tenant for people who decide on them, else one's own.",
        asks=filters(
            state=f.ChoiceFilter(choices=DeletionState.choices),
            subject=f.UUIDFilter(field_name="subject_id"),
        ),
    )

    @Act(Who.ANYBODY, takes=NewDeletion)
    def create(self, request: Any, **kwargs: Any) -> Response:
        """Ask for data to be erased, or restricted.

        Everybody may ask for their own data, even while it is restricted. People who decide on
        deletions may ask for others: such a request is approved at once, unless it is about a role
        that they may neither give nor take. Then it waits for somebody who may. A key needs
        `management:write` and must name the owner of the data; its request waits for a person.
        While a request of the same mode is open, asking again returns it, with `removes` added. If
        the person asks as well, it becomes their own request, and its 72 hours begin.
        """
        fields = self.body()
        owner = self._owner(**{name: fields.pop(name, None) for name in _OWNER_FIELDS})
        own = self.who.member is not None and owner == self.who.member
        if not own:
            refuse_where_restricted(request, self.who)
        if fields["removes"]:
            self._refuse_removal(owner)
        decides = self._decides and self._decider.decides_alone(owner)
        fields |= {"by": self.actor, "decides": decides, "own": own}
        return self.respond(deletion.ask(self.url_tenant.id, owner.subject_id, **fields), 201)

    @Act(Who.ANYBODY, gives=WholeDeletion)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a deletion request, its stores and, when it is done, its certificate."""
        row = self.row()
        body = WholeDeletion(row).data
        return Response(body, headers={"ETag": self.etag(self.shape(row).data)})

    @Act(P.MANAGE_DELETIONS)
    def approve(self, request: Any, **path: Any) -> Response:
        """Approve a deletion request: it is executed at once."""
        return self._decide(deletion.approve, self._decider.to_approve)

    @Act(P.MANAGE_DELETIONS, takes=Refusal)
    def lift(self, request: Any, **path: Any) -> Response:
        """Lift a restriction, and say why: nothing was erased, the data can be used again."""
        return self._decide(deletion.lift, self._decider.to_decide)

    @Act(P.MANAGE_DELETIONS, takes=Refusal)
    def refuse(self, request: Any, **path: Any) -> Response:
        """Refuse a deletion request, and say why."""
        return self._decide(deletion.refuse, self._decider.to_decide)

    @property
    def _decides(self) -> bool:
        return P.MANAGE_DELETIONS in self.who.permissions

    @property
    def _is_program(self) -> bool:
        """Returns whether a key may request deletions for others, which wait for approval.

        It needs to manage members. No key does where duties are kept apart, or where somebody it
        depends on may not.
        """
        return self.who.key is not None and P.MANAGE_MEMBERS in self.who.permissions

    def _owner(
        self, member: UUID | None, key: UUID | None, subject: UUID | None, person: str | None
    ) -> Subject:
        """Returns whose data to delete. Raises Problem, 404 for what belongs to somebody else."""
        ids = [one for one in (member, key, subject, person) if one]
        if not ids and self.who.member:
            return self.who.member
        if len(ids) != 1:
            raise bad_request({"member": [_("Say whose data: a member's, a key's or a person's.")]})
        own_member = self.who.member
        myself = own_member is not None and (
            own_member.pk == member or own_member.subject_id == subject
        )
        if not (self._decides or myself or self._is_program):
            raise denied(_("You can ask for your own data only."))
        tenant = self.url_tenant
        if subject:
            owner = find(tenant, subject)
        elif person:
            owner = find_person(tenant, person)
        else:
            rows: QuerySet[Any] = tenant.members.all() if member else tenant.api_keys.all()
            owner = rows.filter(pk=member or key).first()
        if owner is None:
            raise not_found()
        return owner

    @property
    def _decider(self) -> Decider:
        return Decider(self.url_tenant, self.actor, self.who.member, self.who.roles_to_give())

    def _refuse_removal(self, owner: Subject) -> None:
        """Raises Problem unless the caller may have this member or key removed too."""
        refusal = self._decider.to_remove(owner)
        if refusal == RefusalReason.ABOVE and isinstance(owner, Member):
            refuse_unless_among(self.who.roles_to_take(), owner.role)
        elif refusal:
            raise bad_request({"removes": [refusal_text(refusal)]})

    def _decide(self, verb: Any, objection: Any) -> Response:
        """Decide unless there is an objection, with the fields of the body if it has some."""
        row = self.row()
        if refusal := objection(row):
            raise denied(refusal_text(refusal))
        try:
            verb(row, by=self.actor, **(self.body() if self.act.takes else {}))
        except SamePerson:
            raise denied(refusal_text(RefusalReason.OWN_REQUEST)) from None
        return self.respond(row)


class OwnDeletionShape(DeletionShape):
    """A deletion request; a class of its own names its page in the schema."""


class OwnDeletions(Deletions):
    """The same without a tenant in the path: that of the key, or the only one of a person."""

    shape = OwnDeletionShape

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(APIException):  # a wrong key is refused where all are
            if isinstance(request.auth, Requester) and not request.auth.operator_key:
                kwargs["tenant"] = _only_tenant(request.auth)
        super().initial(request, *args, **kwargs)


def _only_tenant(who: Requester) -> str:
    """Returns the name of the caller's tenant. Raises Problem where there are several."""
    if who.key:
        return who.key.tenant.name
    assert who.user
    with person_scope(who.user.pk):
        names = [member.tenant.name for member in Member.objects.of(who.user)[:2]]
    if len(names) != 1:
        text = _("Say in which tenant: /api/v1/tenants/<tenant>/deletion-requests/")
        raise bad_request({"tenant": [text]})
    return names[0]
