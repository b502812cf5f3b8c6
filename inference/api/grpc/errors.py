"""Errors of `inference/errors.py` as a gRPC status with google.rpc's details for programs.

ErrorInfo is always there: its reason is the error code in capitals, its metadata names the limit
and the refusal id. BadRequest names the field, RetryInfo the time to wait, QuotaFailure the limit.
"""

from typing import Any

import grpc
import orjson
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as rpc
from google.rpc import status_pb2

from inference.errors import ApiError, LimitReached
from inference.stream.frames import Frame

DOMAIN = "forebay"
LONGEST_MESSAGE = 300  # characters: it travels twice, and clients take 8 KiB of metadata
DETAILS = "grpc-status-details-bin"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.INTERNAL,  # an engine broke off: stubs must not retry by themselves
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(error: ApiError) -> grpc.StatusCode:
    return CODES.get(error.status, grpc.StatusCode.INTERNAL)


def message_of(error: ApiError) -> str:
    text = error.message
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


def details_of(error: ApiError) -> bytes:
    """Returns the value of DETAILS: a google.rpc.Status."""
    code: Any = code_of(error).value
    status: Message = status_pb2.Status(
        code=code[0], message=message_of(error), details=map(_packed, _details(error))
    )
    return status.SerializeToString()


def of_frame(frame: Frame) -> ApiError:
    """Returns the error of a frame, whose body is in OpenAI's form."""
    fields = orjson.loads(frame.body)["error"]
    error = ApiError(
        fields["message"], code=fields["code"], param=fields["param"], retry_after=frame.retry_after
    )
    error.status, error.is_refusal = frame.status, False
    return error


def _details(error: ApiError) -> list[Message]:
    info = rpc.ErrorInfo(reason=error.code.upper(), domain=DOMAIN)
    details: list[Message] = [info]
    if param := error.shown_param:
        info.metadata["param"] = param
    if error.status in (400, 422):
        violation = rpc.BadRequest.FieldViolation(field=param or "", description=message_of(error))
        details.append(rpc.BadRequest(field_violations=[violation]))
    if isinstance(error, LimitReached):
        details += _of_limit(error, info)
    elif error.retry_after:
        details.append(_retry_info(error.retry_after * 1000))
    return details


def _of_limit(error: LimitReached, info: rpc.ErrorInfo) -> list[Message]:
    tier = error.tier
    info.metadata["limit"] = tier
    if error.refusal_id:
        info.metadata["refusal_id"] = error.refusal_id
    violation = rpc.QuotaFailure.Violation(subject=tier, description=error.refusal_id)
    failure = rpc.QuotaFailure(violations=[violation])
    return [_retry_info(error.retry_after_ms), failure] if error.retry_after_ms else [failure]


def _retry_info(ms: int) -> rpc.RetryInfo:
    delay = rpc.RetryInfo()
    delay.retry_delay.FromMilliseconds(ms)
    return delay


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
