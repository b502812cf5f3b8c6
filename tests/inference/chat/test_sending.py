"""Which model a message may name, whatever its page says: it may be older than what holds now."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.chat.problems import ChatRefused
from inference.chat.socket.sending import engine_for
from inference.intake.context import Context
from tenants.caller import Caller, LocalOnlyBy
from tests.inference.callers import CALLER

pytestmark = pytest.mark.unit
NO_CONTEXT = cast(Context, None)


@pytest.fixture(autouse=True)
def served(settings: Settings) -> Iterator[None]:
    url = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    vectors = {**url, "capabilities": {"text": False, "embeddings": True}}
    settings.ENGINES = {"small": url, "hosted": {**url, "hosted": True}, "vectors": vectors}
    engines.forget()
    yield
    engines.forget()


def found(model: str, caller: Caller = CALLER) -> str:
    return engine_for(NO_CONTEXT, caller, model, "198.51.100.7").config.name


def refused(model: str, caller: Caller = CALLER) -> str:
    with pytest.raises(ChatRefused) as told:
        found(model, caller)
    return told.value.code


def test_one_that_makes_no_text_is_no_model_to_chat_with() -> None:
    assert found("small") == "small"
    assert refused("vectors") == "model_not_found"


def test_one_that_is_hosted_is_none_for_who_is_local_only() -> None:
    assert found("hosted") == "hosted"
    bound = replace(CALLER, local_only_by=LocalOnlyBy.TENANT)
    assert found("small", bound) == "small"
    assert refused("hosted", bound) == "model_not_found"
