"""Front ends count what they answer and refuse: routes and reasons are those that there are."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from inference.api.grpc import methods
from inference.api.openai import routes
from inference.api.refusals import _TIERS
from inference.api.responses.stored import resource
from inference.chat.problems import ChatRefused
from inference.chat.socket import sending
from inference.errors import ApiError
from inference.intake.access.allowed import NotAllowed
from inference.intake.cache_lookup import NOT_KEPT
from inference.intake.errors import OutOfService, QueueFull
from inference.intake.limits import unadmitted_bodies
from inference.metrics.labels import FRONT_ENDS, ROUTE, ROUTES, STATUS, TENANT, tenant
from inference.metrics.requests import ANSWERED, REASONS, REFUSED
from infrastructure.metrics import OTHER
from tenants.models.tenant import State

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[3]


def kinds(of: type[ApiError]) -> set[type[ApiError]]:
    return {of, *(each for kind in of.__subclasses__() for each in kinds(kind))}


def test_every_limit_and_every_error_is_a_reason() -> None:
    assert set(_TIERS) <= set(REASONS)
    generic = {"rate_limit_exceeded", "insufficient_quota"}  # these have a tier
    assert {kind.code for kind in kinds(ApiError)} - generic <= set(REASONS)


def test_every_route_is_known_and_no_other() -> None:
    paths = [*routes.ROUTES, "/v1/models/x", "/v1/completions/x/events", "/v1/files/x"]
    paths += ["/v1/files/x/content", "/v1/batches/x", "/v1/batches/x/cancel", "/beta/models/x"]
    for path in paths:
        assert (found := routes.find(path))
        assert ROUTE.bounded(found.template) == found.template
    assert ROUTE.bounded("/v1/made-up") == OTHER
    assert ROUTE.bounded("") == ""


def test_grpcs_methods_are_routes() -> None:
    for service, views in methods.SERVICES.items():
        for name in views:
            methods._answering(None, service.methods_by_name[name], views[name], None)  # type: ignore[arg-type]
            assert f"/{service.full_name}/{name}" in ROUTES


@pytest.mark.parametrize("status", ["200", "401", "429", "499", "503"])
def test_statuses(status: str) -> None:
    assert STATUS.bounded(status) == status
    assert STATUS.bounded("777") == OTHER


def test_no_tenant_has_a_label_unless_it_is_named(settings: Settings) -> None:
    named, other = uuid4(), uuid4()
    assert tenant(named) == ""
    settings.METRICS_TENANTS = frozenset([str(named)])
    assert (tenant(named), tenant(other)) == (str(named), "")
    assert TENANT.bounded(str(other)) == OTHER


@pytest.mark.parametrize(
    ("problem", "status", "reason"),
    [
        (ChatRefused("too_long"), "400", OTHER),
        (ChatRefused("model_not_found"), "404", "model_not_found"),
        (NotAllowed("restricted", "x"), "403", "restricted"),
        (QueueFull.__new__(QueueFull), "503", "queue_full"),
        (OutOfService("x"), "503", "server_overloaded"),
        (ValueError("x"), "500", "internal_error"),
    ],
)
def test_a_question_that_is_refused_counts_with_its_reason(
    problem: Exception, status: str, reason: str
) -> None:
    answered = ANSWERED.of("chat", sending.ROUTE, "", "", status, "")
    refused = REFUSED.of("chat", reason, "")
    before = answered.value, refused.value
    with pytest.raises(type(problem)), sending.counted(uuid4()):
        raise problem
    assert (answered.value, refused.value) == (before[0] + 1, before[1] + 1)


def test_every_code_in_the_front_ends_is_a_reason() -> None:
    """`code="…"` of an error; what is none of these counts as other, and nobody would see it."""
    found: set[str] = set()
    for package in ("api", "intake", "stored_responses", "validation"):
        for path in (PROJECT / "inference" / package).rglob("*.py"):
            found |= set(re.findall(r'\bcode="([a-z_]+)"', path.read_text()))
    unsent = {"recorded_late", "aborted"}  # ends on record that no client is refused with
    assert found - unsent <= set(REASONS)


def test_so_is_every_code_that_has_a_name_there() -> None:
    closed = {f"tenant_{state}" for state in State if state != State.ACTIVE}
    assert {NOT_KEPT, unadmitted_bodies.CODE, resource.CODE, *closed} <= set(REASONS)


def test_a_full_queue_is_an_increase_from_the_first_time_on() -> None:
    assert {(each, "queue_full", "") for each in FRONT_ENDS} <= set(REFUSED._children)
