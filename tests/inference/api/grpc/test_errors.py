"""The one family of errors, as gRPC's clients get it."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from inference import errors as family
from inference.api.grpc import errors
from inference.errors import ApiError, BadRequest, LimitReached, OutOfQuota, Unavailable
from inference.stream.frames import Frame, Kind

pytestmark = pytest.mark.unit


def details(error: ApiError) -> dict[str, Any]:
    status = status_pb2.Status.FromString(errors.details_of(error))
    assert status.code == errors.code_of(error).value[0]
    found: dict[str, Any] = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


def everybody(kind: type[ApiError]) -> set[type[ApiError]]:
    return {kind}.union(*map(everybody, kind.__subclasses__()))


def test_every_error_has_a_status_of_its_own() -> None:
    http_alone = {family.MethodNotAllowed, family.UnsupportedEncoding}
    statuses = {kind.status for kind in everybody(ApiError) - http_alone}
    assert statuses <= errors.CODES.keys()


def test_a_field_that_is_wrong() -> None:
    found = details(BadRequest("`n` must be 1", param="n"))
    (violation,) = found["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("n", "`n` must be 1")
    assert found["ErrorInfo"].reason == "INVALID_REQUEST"


def test_a_limit_says_which_and_when_it_frees() -> None:
    error = LimitReached("too many", retry_after=2)
    error.tier, error.retry_after_ms, error.refusal_id = "key_rate", 1250, "ref_1"
    found = details(error)
    assert errors.code_of(error) == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1250
    (violation,) = found["QuotaFailure"].violations
    assert (violation.subject, violation.description) == ("key_rate", "ref_1")
    assert found["ErrorInfo"].metadata["refusal_id"] == "ref_1"


def test_what_is_away_says_when_to_come_back() -> None:
    error = Unavailable("no database", retry_after=2)
    assert errors.code_of(error) == grpc.StatusCode.UNAVAILABLE
    delay = details(error)["RetryInfo"].retry_delay
    assert delay.ToMilliseconds() == 2000


def test_a_long_message_does_not_fill_a_clients_metadata() -> None:
    error = OutOfQuota("配额" * 1000)
    error.retry_after_ms = 1
    assert len(errors.message_of(error)) == errors.LONGEST_MESSAGE
    assert len(errors.details_of(error)) < 2500


def test_nor_does_a_long_name_of_a_field() -> None:
    """A client chooses the names of variables: one of 20 KB took the place of the error itself."""
    error = BadRequest("it is not a variable", param=f"variables.{'x' * 20_000}")
    assert len(errors.details_of(error)) < 1000
    (violation,) = details(error)["BadRequest"].field_violations
    assert violation.field.startswith("variables.xxx")
    assert len(violation.field) == family.LONGEST_PARAM


def test_what_a_runner_says() -> None:
    body = family.error_body("the engine broke off", "engine_failed", 502)
    error = errors.of_frame(Frame(b"", 1, 3, Kind.ERROR, body, 502, 7))
    assert errors.code_of(error) == grpc.StatusCode.INTERNAL
    assert (error.code, error.message) == ("engine_failed", "the engine broke off")
