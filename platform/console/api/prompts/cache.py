"""The answer cache of a tenant: its figures, its rules, and purging it."""

from typing import Any

import redis
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem, bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.cache.stored import Figures, figures, purge_by, stored
from tenants.models import CacheRule
from tenants.roles import Permission as P


class CachedModel(Shape):
    model = s.CharField()
    requests = s.IntegerField(help_text="Requests that looked for a kept answer, within 24 hours.")
    l1 = s.IntegerField(help_text="Requests answered from the memory of a process.")
    l2 = s.IntegerField(help_text="Requests answered from Redis.")
    shared = s.IntegerField(help_text="Requests answered together with an equal one in flight.")
    entries = s.IntegerField(help_text="Answers in Redis now.")
    bytes = s.IntegerField()


class CacheShape(Shape):
    models = CachedModel(many=True)
    EXAMPLE = {
        "models": [
            {
                "model": "deepseek-r1",
                "requests": 1000,
                "l1": 410,
                "l2": 230,
                "shared": 12,
                "entries": 348,
                "bytes": 731204,
            }
        ]
    }


class Purged(Shape):
    purged = s.BooleanField()
    EXAMPLE = {"purged": True}


class Cache(Resource):
    needs = {"show": P.VIEW_USAGE, "purge": P.MANAGE_QUOTAS}
    shape = CacheShape
    gives = {"purge": Purged}

    def show(self, request: Any, tenant: str) -> Response:
        """Show the hits of the answer cache, and its size."""
        try:
            stock = stored(self.url_tenant.id)
        except redis.RedisError:
            text = _("Redis does not answer: what it keeps is not known.")
            raise Problem(503, "unavailable", text, headers={"Retry-After": "2"}) from None
        lookups = figures(self.url_tenant.id)
        lines = []
        for name in sorted({*lookups, *stock.entries}):
            counts = lookups.get(name, Figures()).counts
            levels = {level: counts[level] for level in ("l1", "l2", "shared")}
            size = {"entries": stock.entries[name], "bytes": stock.bytes[name]}
            lines.append({"model": name, "requests": counts.total(), **levels, **size})
        return Response({"models": lines})

    def purge(self, request: Any, tenant: str) -> Response:
        """Delete all kept answers of a tenant."""
        purge_by(self.url_tenant, by=self.actor)
        return Response({"purged": True})


class CacheRuleShape(Shape):
    id = s.IntegerField()
    model = s.CharField(help_text="Empty: all models.")
    key = s.UUIDField(source="api_key_id", allow_null=True)
    on = s.BooleanField()
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": 4,
        "model": "deepseek-r1",
        "key": None,
        "on": True,
        "created_at": "2026-01-31T08:00:00Z",
    }


class NewCacheRule(Shape):
    model = s.CharField(max_length=120, required=False)
    key = s.UUIDField(required=False)
    on = s.BooleanField()
    EXAMPLE = {"model": "deepseek-r1", "on": True}


class CacheRules(Resource):
    needs = {
        "list": P.VIEW_USAGE,
        "create": P.MANAGE_QUOTAS,
        "retrieve": P.VIEW_USAGE,
        "destroy": P.MANAGE_QUOTAS,
    }
    shape = CacheRuleShape
    takes = {"create": NewCacheRule}

    def list(self, request: Any, tenant: str) -> Response:
        """List the rules by which answers are kept."""
        return self.respond_page(self.url_tenant.cache_rules.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Set whether answers are kept: for all requests, a model, a key, or a key and a model.

        The narrowest rule decides. A rule for the same key and model is replaced.
        """
        fields = self.body()
        owner, key = self.url_tenant, None
        if "key" in fields:
            key = owner.api_keys.live().filter(pk=fields["key"]).first()
            if key is None:
                raise bad_request({"key": [_("There is no such key in this tenant.")]})
        scope = {"model": fields.get("model", ""), "api_key": key}
        return self.respond(CacheRule.set(owner, on=fields["on"], by=self.actor, **scope), 201)

    def retrieve(self, request: Any, tenant: str, rule: int) -> Response:
        """Show a rule."""
        return self.respond(self.get_or_404(self.url_tenant.cache_rules.all(), pk=rule))

    def destroy(self, request: Any, tenant: str, rule: int) -> Response:
        """Remove a rule."""
        self.get_for_change(self.url_tenant.cache_rules.all(), pk=rule).drop(by=self.actor)
        return Response(status=204)
