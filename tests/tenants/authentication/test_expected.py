"""Whether a key opened when it was looked up last: by that, whoever tries keys is told apart."""

import pytest
from channels.db import database_sync_to_async

from tenants.authentication.authenticator import Authenticator, TenantClosed
from tenants.models import ApiKey, Tenant

in_database = database_sync_to_async


async def test_a_key_that_was_refused_is_not_expected_until_it_opens_again(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    assert not authenticator.expected(key[1])
    await authenticator.by_key(key[1])
    assert authenticator.expected(key[1])
    await in_database(acme.suspend)(by="test", reason="unpaid")
    authenticator._known[bytes(key[0].digest)].until = 0.0
    with pytest.raises(TenantClosed):
        await authenticator.by_key(key[1])
    assert not authenticator.expected(key[1])
    assert authenticator.last_known(key[1]), "whom to tell of it"
    await in_database(acme.resume)(by="test")
    await authenticator.by_key(key[1])
    assert authenticator.expected(key[1])
