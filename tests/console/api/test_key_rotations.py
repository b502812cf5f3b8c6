"""A tenant exchanges its own encryption key through the API."""

from audit.actions import Action
from audit.keys import rotation
from audit.keys.keyring import Keyring
from audit.models import Event
from tenants.models import Member
from tests.console.api.conftest import Api, Enter

PATH = "tenants/acme/key-rotations/"


def test_an_owner_exchanges_the_key(alice: Member, charlie: Member, enter: Enter) -> None:
    Keyring().of_subject_now(alice.tenant_id, alice.subject_id)
    api: Api = enter(alice)
    asked = api.send("post", PATH, {})
    assert asked.status_code == 201
    begun = asked.json()
    assert (begun["total"], begun["done"], begun["finished_at"]) == (1, 0, None)
    assert api.send("post", PATH, {}).json()["id"] == begun["id"], "one at a time"
    rotation.advance_all()
    ended = api.get(f"{PATH}{begun['id']}/").json()
    assert ended["done"] == 1
    assert ended["finished_at"]
    assert [one["id"] for one in api.get(PATH).json()["results"]] == [begun["id"]]
    events = Event.objects.filter(action=Action.KEY_ROTATE).order_by("id")
    assert [(e.actor, e.detail["phase"]) for e in events] == [
        (alice.actor, "start"),
        (alice.actor, "end"),
    ]
    assert enter(charlie).get(f"{PATH}{begun['id']}/").status_code == 404
