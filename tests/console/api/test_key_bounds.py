"""What a key of every scope cannot do at the management API."""

import pytest
from django.test import Client

from audit.erasure import deletion, execution
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, issued


def test_a_key_manages_no_tenant_but_its_own(acme: Tenant, globex: Tenant, with_key: Enter) -> None:
    program = with_key(acme)
    for name, status in (("acme", 200), ("globex", 404), ("nobody", 404)):
        for path in ("", "keys/", "events/"):
            assert program.get(f"tenants/{name}/{path}").status_code == status, (name, path)
    assert program.post("tenants/globex/teams/", name="search").status_code == 404
    assert not acme.teams.exists()


@pytest.mark.django_db(transaction=True)
def test_a_key_whose_data_is_restricted_reads_and_changes_nothing(
    acme: Tenant, alice: Member
) -> None:
    key, text = issued(acme)
    program = Api(Client(), text)
    assert program.post("tenants/acme/teams/", name="before").status_code == 201
    deletion.ask(acme.id, key.subject_id, by=alice.actor, decides=True, mode="restrict")
    execution.work()
    refused = program.post("tenants/acme/teams/", name="after")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:forebay:problem:restricted")
    assert program.get("tenants/acme/teams/").status_code == 200
    assert [team.name for team in acme.teams.all()] == ["before"]
