"""A request's class is its plan's and its route's; its client may only lower it."""

from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from console.playground import running
from inference import apps, classes
from inference.api.anthropic import routes as anthropic_routes
from inference.api.anthropic.views import messages
from inference.api.grpc.methods import SERVICES
from inference.api.ollama import embeddings as ollama_embeddings
from inference.api.ollama import routes as ollama_routes
from inference.api.ollama import views as ollama_views
from inference.api.openai import routes, views
from inference.api.responses import routes as responses_routes
from inference.api.responses import views as responses_views
from inference.chat.socket import sending
from inference.errors import BadRequest
from inference.intake.submission import CLASS, work_class
from inference.record.limit_usage import takes_slot
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit
ROUTE = "/v1/chat/completions"


def test_plan_and_route_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [("standard", "/v1/inference", "batch"), *classes.ASSIGNED]
    monkeypatch.setattr(classes, "ASSIGNED", lines)
    standard = caller(tier="standard")
    assert work_class(standard, "/v1/inference") == "batch"
    assert work_class(standard, ROUTE) == "realtime"
    assert work_class(replace(standard, tier="vip"), "/v1/inference") == "realtime"
    assert work_class(standard, "/v1/batches") == "batch"


def test_an_installation_says_it_for_its_plans_and_routes(settings: Settings) -> None:
    settings.WORK_CLASSES = [("vip", "/v1/completions", "preprocess"), ("vip", "*", "finetune")]
    grpc = "/forebay.v1.InferenceService/Chat", "/DeepSeekService/Inference"
    settings.WORK_CLASSES += [("*", route, "batch") for route in ("chat", *grpc)]
    apps.check_work_classes()
    standard, vip = caller(tier="standard"), caller(tier="vip")
    assert work_class(standard, ROUTE) == "realtime"
    assert work_class(vip, "/v1/completions") == "preprocess"
    assert work_class(vip, ROUTE) == work_class(vip, ROUTE, "finetune") == "finetune"
    for higher in ("realtime", "batch", "preprocess"):
        with pytest.raises(BadRequest, match="may be `finetune` here"):
            work_class(vip, ROUTE, higher)


@pytest.mark.parametrize(
    ("plan", "route", "name"),
    [
        ("gold", "*", "batch"),
        ("vip", "*", "nights"),
        ("*", "*", ""),
        ("*", "v1/completions", "batch"),
        ("*", "/beta/completions", "batch"),  # counts as /v1/completions
        ("*", "", "batch"),
        ("*", "/v1/chat/completion", "batch"),
        ("*", "/v1/models", "batch"),  # asks for no work
        ("*", "/v1/batches", "realtime"),  # its lines stay what they are
        ("*", "/forebay.v1.InferenceService/Chats", "batch"),
    ],
)
def test_a_plan_a_route_or_a_class_that_there_is_not_is_an_error(
    settings: Settings, plan: str, route: str, name: str
) -> None:
    settings.WORK_CLASSES = [(plan, route, name)]
    with pytest.raises(ImproperlyConfigured, match="FOREBAY_WORK_CLASSES: there is no"):
        apps.check_work_classes()


def test_every_route_of_requests_can_have_a_class() -> None:
    """Those that ask for no work, or for work of a class of its own, cannot."""
    posted = {path: by["POST"] for path, by in routes.ROUTES.items() if "POST" in by}
    http = {path for path, view in posted.items() if view.__module__ == views.__name__}
    others: set[Any] = {messages, responses_views.create, responses_views.compact}
    others |= {ollama_views.chat, ollama_views.generate}
    others |= {ollama_embeddings.embed, ollama_embeddings.embed_one}
    for front in (anthropic_routes, ollama_routes, responses_routes):
        http |= {path for path, by in front.ROUTES.items() if others & {*by.values()}}
    http.add("/v1/decisions")  # it asks for one token
    grpc = {f"/{of.full_name}/{name}" for of, by_name in SERVICES.items() for name in by_name}
    no_work = {
        f"/forebay.v1.InferenceService/{name}" for name in ("Resume", "Cancel", "ListModels")
    }
    assert {sending.ROUTE, running.ROUTE, *http, *(grpc - no_work)} == set(classes.ROUTES)


@pytest.mark.parametrize("name", ["realtime", "finetune"])
def test_a_line_for_all_routes_is_not_for_lines_of_batches(settings: Settings, name: str) -> None:
    """They would count among the requests at once of their tenant, as if a client waited."""
    settings.WORK_CLASSES = [("*", "*", name)]
    assert not takes_slot("batch", "/v1/batches")
    assert takes_slot(work_class(caller(), ROUTE), ROUTE)


@pytest.mark.parametrize("asked", ["batch", " Batch "])
def test_a_client_may_lower_it(asked: str) -> None:
    assert work_class(caller(), ROUTE, asked) == "batch"
    assert work_class(caller(), ROUTE, "realtime") == "realtime"


@pytest.mark.parametrize("asked", ["", "vip", "finetune", "realtime,batch", "batch|realtime", "*"])
def test_another_name_is_refused_with_those_that_there_are(asked: str) -> None:
    with pytest.raises(BadRequest, match="`realtime` or `batch`") as refused:
        work_class(caller(), ROUTE, asked)
    assert (refused.value.status, refused.value.param) == (400, CLASS)


def test_a_client_cannot_raise_it() -> None:
    assert work_class(caller(), "/v1/batches", "batch") == "batch"
    with pytest.raises(BadRequest, match="`batch`") as refused:
        work_class(caller(), "/v1/batches", "realtime")
    assert "realtime" not in str(refused.value)


def test_every_class_of_the_table_is_one_of_work() -> None:
    assert {name for *_, name in classes.ALWAYS + classes.ASSIGNED} <= set(classes.CLASSES)
    assert classes.ASSIGNED[-1][:2] == ("*", "*")
