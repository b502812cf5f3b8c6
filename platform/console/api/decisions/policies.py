"""Decision policies, and which of their versions decide."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, shape_of, showing
from console.api.decisions.specs import spec_in
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.decisions import policies
from inference.decisions.sample import SAMPLE as SPEC
from inference.models import DecisionPolicy, DecisionPolicyVersion
from inference.models.decisions.policy import LARGEST_SHARE
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P

_VERSION = "Number of an approved version."
_LARGEST_NUMBER = 2**31 - 1


class PolicyShape(Row):
    name = s.CharField()
    latest = s.IntegerField(help_text="The number of its latest version.")
    champion = s.IntegerField(allow_null=True, help_text="The version that decides; null: none.")
    challenger = s.IntegerField(allow_null=True, help_text="A version that decides a share.")
    challenger_share = s.FloatField(help_text="From 0 to 1.")
    shadow = s.IntegerField(allow_null=True, help_text="A version that is asked beside them.")
    changed_at = s.DateTimeField()
    EXAMPLE = {
        "name": "payments",
        "latest": 3,
        "champion": 2,
        "challenger": 3,
        "challenger_share": 0.1,
        "shadow": None,
        "changed_at": "2026-12-01T09:30:00Z",
    }


class NewPolicy(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    spec = s.DictField(help_text="Its first version, a draft.")
    EXAMPLE = {"name": "payments", "spec": SPEC}


_Promotion = shape_of(
    "PolicyPromotion",
    version=s.IntegerField(min_value=1, max_value=_LARGEST_NUMBER, help_text=_VERSION),
)
_Challenge = shape_of(
    "PolicyChallenge",
    version=s.IntegerField(
        min_value=1, max_value=_LARGEST_NUMBER, allow_null=True, help_text=f"{_VERSION} Null: none."
    ),
    share=s.FloatField(
        required=False,
        min_value=0,
        max_value=LARGEST_SHARE,
        help_text="The part of the requests that it decides.",
    ),
)
_Shadow = shape_of(
    "PolicyShadow",
    version=s.IntegerField(
        min_value=1, max_value=_LARGEST_NUMBER, allow_null=True, help_text=f"{_VERSION} Null: none."
    ),
)


class DecisionPolicies(Resource):
    shape = PolicyShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> Any:
        return self.url_tenant.decision_policies.select_related("tenant")

    list = listing(
        P.VIEW_POLICIES,
        "List a tenant's decision policies.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_POLICIES, "Show a decision policy.")
    rollback = calling(
        "roll_back", P.MANAGE_POLICIES, "Let the version decide that decided before this one."
    )
    stop = calling(
        "stop", P.MANAGE_POLICIES, "Let no version decide: within a second requests are a 404."
    )
    destroy = calling(
        "remove", P.MANAGE_POLICIES, "Remove a decision policy none of whose versions ever decided."
    )

    @Act(P.MANAGE_POLICIES, takes=NewPolicy)
    def create(self, request: Any, **path: Any) -> Response:
        """Write a decision policy: its first version, a draft.

        A version is sent to review, approved by another person, and promoted. Then it decides.
        """
        fields = self.body()
        self.refuse_taken(fields["name"])
        spec = spec_in(fields["spec"])
        policy = policies.create(self.url_tenant, fields["name"], spec, by=self.actor)
        return self.respond(policy, 201)

    @Act(P.MANAGE_POLICIES, takes=_Promotion)
    def promote(self, request: Any, **path: Any) -> Response:
        """Let an approved version decide, in all processes within a second."""
        self.row()  # before the body: whose policy is not found hears that
        version = self._version(self.body()["version"])
        policies.promote(version, by=self.actor)
        return self.respond(self.row())

    @Act(P.MANAGE_POLICIES, takes=_Challenge)
    def challenge(self, request: Any, **path: Any) -> Response:
        """Let an approved version decide a share of the requests; `null` ends that."""
        policy, fields = self.row(), self.body()
        if fields["version"] is None:
            policy.challenge(None, 0.0, by=self.actor)
        else:
            version = self._version(fields["version"])
            policies.challenge(version, fields.get("share", 0.0), by=self.actor)
        return self.respond(self.row())

    @Act(P.MANAGE_POLICIES, takes=_Shadow)
    def shadow(self, request: Any, **path: Any) -> Response:
        """Ask an approved version beside the one that decides; `null` ends that.

        Its answer is recorded with the decision, and changes none.
        """
        policy, number = self.row(), self.body()["version"]
        if number is None:
            policy.run_in_shadow(None, by=self.actor)
        else:
            policies.run_in_shadow(self._version(number), by=self.actor)
        return self.respond(self.row())

    def _version(self, number: int) -> DecisionPolicyVersion:
        policy: DecisionPolicy = self.row()
        text = _("There is no such one in this tenant.")
        version: DecisionPolicyVersion = self.named(policy.versions, "version", text, number=number)
        return version
