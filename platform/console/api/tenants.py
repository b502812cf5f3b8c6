"""Tenants. Operators open, change, suspend, resume and close them; all others see their own."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.keys import rotation
from audit.models import KeyRotation
from console.api.acts import Act, Who, calling, filters, listing, shape_of, showing
from console.api.problem import denied
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.origin import LONGEST_ORIGIN, MOST_ORIGINS
from tenants.models.tenant import (
    CHAT_RULES,
    LONGEST_REASON,
    RETENTION_FLOOR_DAYS,
    Closed,
    Sharing,
    State,
    TemporaryChats,
)
from tenants.models.tier import Tier
from tenants.notices.links import mail_link
from tenants.roles import Permission as P
from tenants.roles import Profile, Role

_TENANT = {
    "tier": "standard",
    "profile": "asvs-5",
    "local_only": False,
    "retention_days": 200,
    "time_zone": "Europe/Berlin",
    "allowed_origins": ["https://app.acme.example"],
    "chat_sharing": "members",
    "temporary_chats": "allowed",
}
_MOST_DAYS = 36_500


class TenantShape(Row):
    name = s.CharField()
    tier = s.ChoiceField(Tier.choices)
    state = s.ChoiceField(State.choices)
    profile = s.ChoiceField(Profile.choices)
    local_only = s.BooleanField()
    retention_days = s.IntegerField()
    time_zone = s.CharField()
    allowed_origins = s.ListField(
        child=s.CharField(), help_text="Web pages that may use its keys from a browser."
    )
    chat_sharing = s.ChoiceField(
        Sharing.choices, help_text="For whom members may share conversations of the chat."
    )
    temporary_chats = s.ChoiceField(
        TemporaryChats.choices, help_text="Whether chats are deleted when their person leaves them."
    )
    EXAMPLE = {"name": "acme", **_TENANT}


class TenantChange(Shape):
    tier = s.ChoiceField(Tier.choices, required=False)
    profile = s.ChoiceField(Profile.choices, required=False)
    local_only = s.BooleanField(required=False)
    time_zone = s.CharField(max_length=60, required=False)
    allowed_origins = s.ListField(
        child=s.CharField(max_length=LONGEST_ORIGIN), required=False, max_length=MOST_ORIGINS
    )
    chat_sharing = s.ChoiceField(Sharing.choices, required=False)
    temporary_chats = s.ChoiceField(TemporaryChats.choices, required=False)
    EXAMPLE = {"tier": "vip"}


class NewTenant(TenantChange):
    name = s.RegexField(r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    retention_days = s.IntegerField(
        min_value=RETENTION_FLOOR_DAYS,
        max_value=_MOST_DAYS,
        required=False,
        help_text="Days of the audit trail. Change it later under retention/, which has a preview.",
    )
    owner = s.EmailField(required=False, help_text="Gets an invitation, whose link is shown once.")
    EXAMPLE = {"name": "acme", "owner": "alice@acme.example", **_TENANT}


class OpenedTenant(TenantShape):
    invitation_link = s.CharField(allow_null=True, help_text="The owner's link; not shown again.")
    EXAMPLE = {**TenantShape.EXAMPLE, "invitation_link": "https://forebay.example/welcome/…/"}


Reason = shape_of("Reason", reason=s.CharField(max_length=LONGEST_REASON))
# Fields that need a permission in the tenant, which owners have too.
_SECURITY = ("profile", "local_only", "time_zone", "allowed_origins", *CHAT_RULES)


class Tenants(Resource):
    shape = TenantShape
    lookup_field = "name"
    orderings = ("name", "-name", "created_at", "-created_at")
    refusals = {Closed: (409, "tenant_closing", _("A closing tenant stays closed."))}

    def rows(self) -> QuerySet[Tenant]:
        if self.tenant:
            return Tenant.objects.filter(pk=self.tenant.pk)
        if self.who.key:
            return Tenant.objects.filter(pk=self.who.key.tenant_id)
        assert self.who.user
        return Tenant.objects.visible_to(self.who.user)

    list = listing(
        Who.ANYBODY,
        "List tenants.\n\n"
        "Operators see all of them, people the ones to which they belong, a key its own.",
        asks=filters(
            state=f.ChoiceFilter(choices=State.choices),
            tier=f.ChoiceFilter(choices=Tier.choices),
            name=f.CharFilter(lookup_expr="icontains", max_length=60),
        ),
    )
    retrieve = showing(P.VIEW_LIMITS, "Show a tenant.")
    suspend = calling(
        "suspend",
        Who.OPERATOR,
        "Suspend a tenant: within a second it is closed to everybody, and no data is lost.",
        takes=Reason,
    )
    resume = calling("resume", Who.OPERATOR, "Let a suspended tenant in again.")
    close = calling("close", Who.OPERATOR, "Close a tenant for good.", takes=Reason)

    @Act(Who.OPERATOR, takes=NewTenant, gives=OpenedTenant)
    def create(self, request: Any) -> Response:
        """Open a tenant."""
        fields = self.body()
        owner, name = fields.pop("owner", None), fields.pop("name")
        self.refuse_taken(name)
        tenant = Tenant.open(name, by=self.actor, **fields)
        link = owner and Link.issue(
            Purpose.INVITATION, by=self.actor, email=owner, tenant=tenant, role=Role.OWNER
        )
        if link:
            mail_link(link)
        return self.respond(tenant, 201, at=tenant.name, invitation_link=link)

    @Act(P.VIEW_LIMITS, takes=TenantChange)
    def partial_update(self, request: Any, tenant: str) -> Response:
        """Change a tenant.

        The tier is for operators; the other fields need `security:manage`, which owners hold.
        """
        fields = self.body()
        if "tier" in fields and not self.who.is_operator:
            raise denied(_("Only platform operators can do this."))
        if set(_SECURITY) & set(fields) and P.MANAGE_SECURITY not in self.who.permissions:
            raise denied(_("This requires the permission %s in the tenant.") % P.MANAGE_SECURITY)
        return self.call("change", **fields)


# Rotation of a tenant's encryption key, while its requests go on ---------------------------------
class KeyRotationShape(Shape):
    id = s.UUIDField()
    new_key_id = s.UUIDField()
    total = s.IntegerField(help_text="Keys of people and programs to be wrapped anew.")
    done = s.IntegerField()
    started_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {"total": 120, "done": 50}


class KeyRotations(Resource):
    shape = KeyRotationShape
    orderings = ("-started_at", "started_at")
    volatile = ("done", "finished_at")

    def rows(self) -> QuerySet[KeyRotation]:
        return KeyRotation.objects.filter(tenant_id=self.url_tenant.id)

    list = listing(P.MANAGE_SECURITY, "List the rotations of a tenant's encryption key.")
    retrieve = showing(P.MANAGE_SECURITY, "Show the progress of a rotation.")

    @Act(P.MANAGE_SECURITY, takes=shape_of("Nothing"))
    def create(self, request: Any, tenant: str) -> Response:
        """Rotate a tenant's encryption key.

        New texts are under the new key at once; the other keys follow within seconds. While a
        rotation is under way, the answer is that one. Texts stay as they are, and readable.
        """
        self.body()
        return self.respond(rotation.start_tenant(self.url_tenant.id, by=self.actor), 201)
