"""A new version of an engine in the console: begun, watched, cancelled, rolled back."""

import pytest
from django.test import Client

from inference.models import Engine, Replacement
from tenants.models import Member
from tests.console.conftest import SignIn
from tests.console.serving.conftest import ENGINES, acts, page, sent

URL = "http://gpu-2:8000/v1"
HOW = {"warm_ups": "3", "load_within_s": "900"}


def url(engine: Engine) -> str:
    return f"{ENGINES}{engine.pk}/version/"


@pytest.fixture
def begun(client: Client, engine: Engine) -> str:
    """The path of its page."""
    form = {**HOW, "url": URL, "api_key": "sk-new", "version": "2026-01"}
    assert "gpu-1.2026-01 in place of gpu-1" in sent(client, url(engine), **form)
    return f"/console/pools/replacements/{Replacement.objects.get().pk}/"


def test_a_new_version_is_loaded_and_its_page_keeps_itself_up_to_date(
    client: Client, engine: Engine, begun: str
) -> None:
    assert "Load a new version" in page(client, f"{ENGINES}{engine.pk}/")
    new = Engine.objects.get(name="gpu-1.2026-01")
    assert (new.url, new.slots, new.staged) == (URL, engine.slots, True)
    assert "loading" in page(client, "/console/pools/")
    for path in (begun, f"{begun}live/"):
        found = page(client, path)
        assert "every 1s" in found
        assert "sk-new" not in found
    assert "gpu-1.2026-01" in page(client, url(engine))
    ((who, detail),) = acts("engine:replace")
    assert who.startswith("operator:")
    assert detail["new"] == "gpu-1.2026-01"


def test_it_is_cancelled(client: Client, begun: str) -> None:
    assert "The old one serves on" in sent(client, f"{begun}cancellation/")
    found = page(client, begun)
    assert "cancelled" in found
    assert "every 1s" not in found
    assert [e.name for e in Engine.objects.all()] == ["gpu-1"]
    assert "can be cancelled until" in sent(client, f"{begun}cancellation/")


def test_it_is_rolled_back(client: Client, engine: Engine, begun: str) -> None:
    assert "roll-back" not in page(client, begun)
    Replacement.objects.get().switch(by="test")
    assert "roll-back" in page(client, begun)
    assert "serves again" in sent(client, f"{begun}rollback/")
    engine.refresh_from_db()
    assert not engine.draining
    assert "rolling back" in page(client, begun)


def test_why_it_failed(client: Client, begun: str) -> None:
    Replacement.objects.get().fail("it answered with garbage", by="test")
    assert "it answered with garbage" in page(client, begun)


def test_a_key_is_not_taken_to_another_server(client: Client, engine: Engine) -> None:
    assert "Send the key of the new address" in sent(client, url(engine), **HOW, url=URL)
    assert not Replacement.objects.exists()


def test_a_fault_is_told_beside_its_field(client: Client, engine: Engine) -> None:
    found = sent(client, url(engine), **HOW, version="two words", options="[]", url="gpu")
    for text in ("A name has no blanks", "Enter a JSON object", "begins with http"):
        assert text in found


def test_nobody_else_sees_or_does_anything_of_it(
    engine: Engine, begun: str, alice: Member, sign_in: SignIn
) -> None:
    owner = sign_in(alice)
    for path in (url(engine), begun, f"{begun}live/"):
        assert owner.get(path).status_code == 403
    for path in (url(engine), f"{begun}cancellation/", f"{begun}rollback/"):
        assert owner.post(path, HOW).status_code == 403
    assert Replacement.objects.get().step == "loading"
