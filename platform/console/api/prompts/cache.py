"""The answer cache of a tenant: its figures, its rules, and purging it."""

from typing import Any

import redis
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing, shape_of, showing
from console.api.problem import Problem
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.cache.stored_answers import CacheFigures, figures, purge_by, stored
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


class Cache(Resource):
    shape = shape_of("Cache", models=CachedModel(many=True))

    @Act(P.VIEW_USAGE)
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
            counts = lookups.get(name, CacheFigures()).counts
            levels = {level: counts[level] for level in ("l1", "l2", "shared")}
            size = {"entries": stock.entries[name], "bytes": stock.bytes[name]}
            lines.append({"model": name, "requests": counts.total(), **levels, **size})
        return Response({"models": lines})

    @Act(P.MANAGE_QUOTAS, gives=shape_of("Purged", purged=s.BooleanField()))
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


class NewCacheRule(Shape):
    model = s.CharField(max_length=120, required=False)
    key = s.UUIDField(required=False)
    on = s.BooleanField()
    EXAMPLE = {"model": "deepseek-r1", "on": True}


class CacheRules(Resource):
    shape = CacheRuleShape

    def rows(self) -> Any:
        return self.url_tenant.cache_rules.all()

    list = listing(P.VIEW_USAGE, "List the rules by which answers are kept.")
    retrieve = showing(P.VIEW_USAGE, "Show a rule.")
    destroy = calling("drop", P.MANAGE_QUOTAS, "Remove a rule.")

    @Act(P.MANAGE_QUOTAS, takes=NewCacheRule)
    def create(self, request: Any, tenant: str) -> Response:
        """Set whether answers are kept: for all requests, a model, a key, or a key and a model.

        The narrowest rule decides. A rule for the same key and model is replaced.
        """
        fields, key = self.body(), None
        if "key" in fields:
            text = _("There is no such key in this tenant.")
            key = self.named(self.url_tenant.api_keys.live(), "key", text, pk=fields["key"])
        scope = {"model": fields.get("model", ""), "api_key": key}
        rule = CacheRule.set(self.url_tenant, on=fields["on"], by=self.actor, **scope)
        return self.respond(rule, 201)
