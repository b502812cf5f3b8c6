"""Data sets, notices of erasures, and whether recorded conversations may be used."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.retention.legal_hold import OnHold
from audit.trail.record import LONGEST_REASON
from console.account.reauthentication import is_proven, may_read_texts
from console.api.acts import Act, filters, listing, showing
from console.api.data_sets.versions import DataSetVersionShape
from console.api.problem import bad_request, denied
from console.api.requester import Requester, proof_needed
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.data_sets.words import NOT_ALLOWED, ON_HOLD
from inference.data_sets import deleting, selecting
from inference.data_sets.conversations import ORIGINS, Selection
from inference.models import ConversationUse, DataSet, DataSetNotice, DataSetNoticeKind
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P


class DataSetShape(Row):
    name = s.CharField()
    latest = s.IntegerField(help_text="The number of its latest version; 0: none yet.")
    changed_at = s.DateTimeField()
    EXAMPLE = {"name": "manual", "latest": 3}


class NewDataSet(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    EXAMPLE = {"name": "manual"}


class NewDataSetSelection(Shape):
    """A choice of recorded conversations."""

    origins = s.ListField(
        child=s.ChoiceField(ORIGINS),
        help_text="`chats` of people, `requests` of keys.",
    )
    since = s.DateTimeField()
    until = s.DateTimeField()
    model = s.CharField(max_length=120, required=False, help_text="Without it: every model.")
    reason = s.CharField(max_length=LONGEST_REASON)
    EXAMPLE = {
        "origins": ["chats"],
        "since": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
        "reason": "Answers that our support approved",
    }


class DataSets(Resource):
    shape = DataSetShape
    orderings = ("name", "-name", "created_at", "-created_at")
    volatile = ("latest", "changed_at")
    refusals = {
        OnHold: (409, "on_hold", ON_HOLD),
        selecting.NotAllowed: (403, "not_allowed", NOT_ALLOWED),
    }

    def rows(self) -> QuerySet[DataSet]:
        return DataSet.objects.present().filter(tenant=self.url_tenant)

    list = listing(
        P.VIEW_DATA_SETS,
        "List a tenant's data sets.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_DATA_SETS, "Show a data set.")

    @Act(P.MANAGE_DATA_SETS, takes=NewDataSet)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a data set without a version. Its owner, who gets notices, is the caller."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        owner, by = subject_of(self.who), self.actor
        return self.respond(DataSet.create(self.url_tenant, owner=owner, by=by, **fields), 201)

    @Act(P.MANAGE_DATA_SETS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a data set with all its versions. Models that were trained on it stay."""
        deleting.delete(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.VIEW_PROMPTS, takes=NewDataSetSelection, gives=DataSetVersionShape, creates=True)
    def select(self, request: Any, **path: Any) -> Response:
        """Add a version of the tenant's own recorded conversations.

        This is on record, with the reason. The tenant must allow it (`conversation-use/`), and
        people must have confirmed their identity, by their second factor if they have one, within
        the last ten minutes.
        """
        row, fields = self.row(), self.body()
        if not may_read_texts(request._request):
            raise proof_needed()
        reason = fields.pop("reason")
        selection = Selection(tuple(fields.pop("origins")), **fields)
        version = selecting.select(row, selection, by=self.actor, reason=reason)
        address = f"{request.path.removesuffix('select/')}versions/{version.number}/"
        return Response(DataSetVersionShape(version).data, 201, headers={"Location": address})


def subject_of(who: Requester) -> UUID:
    """Returns the pseudonym of the caller. Raises Problem for an operator."""
    caller = who.member or who.key
    if caller is None:
        raise denied(_("Only members of the tenant and its keys can do this."))
    return caller.subject_id


class DataSetNoticeShape(Shape):
    kind = s.ChoiceField(DataSetNoticeKind.choices)
    name = s.CharField(help_text="The version of the data set, or of the model.")
    rows = s.IntegerField(help_text="Rows that are gone.")
    owner = s.UUIDField(source="subject_id", allow_null=True, help_text="The owner's pseudonym.")
    created_at = s.DateTimeField()
    EXAMPLE = {"kind": "purged", "name": "manual@3", "rows": 2}


class DataSetNotices(Resource):
    shape = DataSetNoticeShape

    def rows(self) -> QuerySet[DataSetNotice]:
        return DataSetNotice.objects.filter(tenant=self.url_tenant)

    list = listing(
        P.VIEW_DATA_SETS,
        "List what erasures of people did to data sets and models. Nobody is named.",
    )


class ConversationUseShape(Shape):
    allowed = s.BooleanField(help_text="Versions may be made of recorded conversations.")
    reason = s.CharField(help_text="The ground for it, in the tenant's words.")
    changed_by = s.CharField()
    changed_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {"allowed": True, "reason": "Works agreement of 2026-02-01", "changed_by": ""}


class ConversationUseChange(Shape):
    allowed = s.BooleanField()
    reason = s.CharField(max_length=LONGEST_REASON)
    EXAMPLE = {"allowed": True, "reason": "Works agreement of 2026-02-01"}


class ConversationUses(Resource):
    shape = ConversationUseShape

    def rows(self) -> QuerySet[ConversationUse]:
        return ConversationUse.objects.filter(tenant=self.url_tenant)

    @Act(P.VIEW_DATA_SETS)
    def show(self, request: Any, **path: Any) -> Response:
        """Show whether data sets may be made of recorded conversations."""
        return self.respond(ConversationUse.of(self.url_tenant))

    @Act(P.MANAGE_RETENTION, takes=ConversationUseChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Allow or forbid data sets of recorded conversations. This is on record, with the reason.

        People must have confirmed their identity within the last ten minutes.
        """
        rule, fields = ConversationUse.of(self.url_tenant), self.body()
        self.check_if_match(rule)
        if not is_proven(request._request):
            raise proof_needed()
        missing = {name: [_("This field is required.")] for name in ("allowed", "reason")}
        if problems := {name: text for name, text in missing.items() if name not in fields}:
            raise bad_request(problems)
        rule.change(by=self.actor, **fields)
        return self.respond(ConversationUse.of(self.url_tenant))
