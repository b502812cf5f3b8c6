"""All keys of a rotation are under what was set for the first: quotas and cache rules."""

from datetime import timedelta
from typing import Any

from channels.db import database_sync_to_async

from tenants.authentication.authenticator import Authenticator
from tenants.caller import Caller
from tenants.models import ApiKey, CacheRule, Quota, Tenant

in_database = database_sync_to_async
HOUR = timedelta(hours=1)


async def test_quotas_and_cache_rules_hold_for_every_key_of_a_line(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    def prepared() -> tuple[Quota, list[str]]:
        kind: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 9, "by": "test"}
        quota = Quota.set(acme, **kind, api_key=key[0])
        CacheRule.set(acme, on=True, by="test", api_key=key[0], model="small")
        second, text = key[0].rotate(by="test", overlap=HOUR)
        _, newest = second.rotate(by="test", overlap=HOUR)
        return quota, [key[1], text, newest]

    quota, texts = await in_database(prepared)()
    callers: list[Caller] = [await authenticator.by_key(text) for text in texts]
    assert [[ref.id for ref in each.quotas] for each in callers] == 3 * [[quota.id]]
    assert [each.caches("small") for each in callers] == [True, True, True]
    assert [each.caches("large") for each in callers] == [None, None, None]
