from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.management.options import moment, tenant_named
from tenants.models import ApiKey, Tenant

BY = "command:rotate_api_key"


class Command(JsonCommand):
    help = (
        "Rotates an API key: now, or at a time and then every so many days. Both keys work for the "
        "overlap. With --collect it shows the text of a key that a schedule has made."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's name")
        parser.add_argument("key", help="the key's id, or the public part of its text")
        parser.add_argument(
            "--overlap-hours",
            type=int,
            default=24,
            metavar="N",
            help="how long the old key works beside the new one; 24 by default",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--at", type=_time, metavar="TIME", help="rotate then, not now")
        what.add_argument("--end-schedule", action="store_true", help="rotate it no more")
        what.add_argument("--collect", action="store_true", help="show the text, once")
        parser.add_argument(
            "--every-days", type=int, metavar="N", help="with --at: again every N days"
        )

    def answer(self, **options: Any) -> Answer:
        if options["every_days"] is not None and not options["at"]:
            raise CommandError("--every-days goes with --at: nothing was rotated")
        tenant = tenant_named(options["tenant"])
        key = _key(tenant, options["key"])
        overlap = timedelta(hours=options["overlap_hours"])
        if options["collect"]:
            return _answer(key, key.collect(by=BY))
        if options["at"] or options["end_schedule"]:
            days = options["every_days"]
            key.schedule(by=BY, rotate_at=options["at"], days=days, overlap=overlap)
            return _answer(key)
        successor, text = key.rotate(by=BY, overlap=overlap)
        return _answer(successor, text)

    def text(self, answer: Answer) -> str:
        if "api_key" in answer:
            return "API key {name} of {tenant}, shown only now:\n{api_key}".format(**answer)
        if answer["rotate_at"]:
            return "API key {name} of {tenant} rotates at {rotate_at}".format(**answer)
        return "API key {name} of {tenant} rotates no more by itself".format(**answer)


def _time(text: str) -> datetime:
    """Returns the moment. Raises ValueError for a variable of a script that was not set, too."""
    if (parsed := moment(text)) is None:
        raise ValueError("no time")
    return parsed


def _answer(key: ApiKey, text: str = "") -> Answer:
    at = key.rotate_at.isoformat() if key.rotate_at else None
    answer = {"tenant": key.tenant.name, "name": key.name, "id": str(key.id), "rotate_at": at}
    return {**answer, "api_key": text} if text else answer


def _key(tenant: Tenant, name: str) -> ApiKey:
    named = Q(public_id=name)
    with suppress(ValueError):  # else it is the public part of a key's text
        named |= Q(pk=UUID(name))
    key = tenant.api_keys.select_related("tenant").filter(named).first()
    if key is None:
        raise CommandError(f"there is no key {name!r} in {tenant.name}")
    return key
