"""gRPC's own: deadlines, cancelling from elsewhere, metadata, what is no message, TLS."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.servers.child import Child, wait_until_listening
from config.environment import PROJECT
from config.supervisor.ports import find_free
from inference.api.grpc.stubs import deepseek_pb2
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from tests.e2e.ask import Record, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.base import Answer
from tests.e2e.front_ends.grpc import (
    SERVICE,
    Grpc,
    GrpcClient,
    chat_request,
    details_of,
    error_of,
)
from tests.e2e.front_ends.rest import Rest
from tests.e2e.test_limits import look, new_key
from tests.inference.api.grpc.certificates import Authority
from tests.inference.api.grpc.hostile import hostile

pytestmark = pytest.mark.e2e
SLOW = {"tokens": 600, "interval_ms": 20}  # 12 s


@pytest.fixture
def asking(staged: Platform) -> Iterator[GrpcClient]:
    with Grpc(staged).client(staged.key) as client:
        yield client


@pytest.fixture
def channel(staged: Platform) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(Grpc(staged).address) as opened:
        yield opened


def test_a_deadline_ends_the_request(staged: Platform, mock: Mock) -> None:
    mock.behave(**SLOW)
    with Grpc(staged).client(staged.key, timeout_s=4) as asking:
        with asking.chat_stream() as stream:
            heard = list(stream)
        ended_at = time.monotonic()
    assert heard
    assert stream.error
    assert stream.error.status == 504
    eventually(lambda: mock.state()["running"] == 0, 5)
    assert time.monotonic() - ended_at < 1
    record = Record(staged, stream.request_id)
    # By whoever is first to notice: this front end, or the runner.
    eventually(lambda: record.state() in ("cancelled", "failed"), 5)
    assert len(record.usage()) == 1


def test_a_deadline_is_the_requests_own(staged: Platform, mock: Mock) -> None:
    """Should nobody be left to cancel it, the sweeper closes it by then."""
    mock.behave(**SLOW)
    with Grpc(staged).client(staged.key, timeout_s=30) as asking, asking.chat_stream() as stream:
        told = staged.manage("shell", "-v0", "-c", _DEADLINE.format(stream.request_id))
    assert 10 < float(told) <= 31


_DEADLINE = """
from uuid import UUID
from inference.record.recorded_requests import recorded_order
_, order = recorded_order(UUID("{}"))
print(order.deadline - order.created_at)"""


def test_what_goes_along_with_an_answer(staged: Platform, asking: GrpcClient) -> None:
    message, call = asking.unary("Chat", chat_request({"max_tokens": 2}), pb.ChatResponse)
    trailing = dict(call.trailing_metadata())
    assert trailing["x-request-id"] == message.request_id
    assert trailing["x-audit-receipt"]


def test_limits_go_along_too(staged: Platform, mock: Mock) -> None:
    key = new_key(staged, "--requests-per-minute", "60", "--burst", "2", "--max-concurrency", "1")
    with Grpc(staged).client(key) as asking:
        answers = [asking.chat(max_tokens=1), asking.chat(messages=[]), asking.chat()]
    assert [answer.status for answer in answers] == [200, 400, 429]
    left = [answer.figures["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["1", "0", "0"]


def test_a_refusal_has_its_details(staged: Platform, mock: Mock) -> None:
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "1")
    with Grpc(staged).client(key) as asking:
        asking.chat(max_tokens=1)
        refused = asking.chat(max_tokens=1)
    details = details_of(refused.figures)
    (violation,) = details["QuotaFailure"].violations
    assert (violation.subject, violation.description) == ("rate", refused.refusal_id)
    assert 50 < details["RetryInfo"].retry_delay.seconds <= 60
    assert details["ErrorInfo"].domain == "forebay"


# Cancelling --------------------------------------------------------------------------------------
def test_a_stream_is_cancelled_from_elsewhere(
    staged: Platform, mock: Mock, asking: GrpcClient
) -> None:
    mock.behave(**SLOW)
    with Grpc(staged).client(staged.key) as other, asking.chat_stream() as stream:
        reading = iter(stream)
        for _ in range(5):
            next(reading)
        assert other.cancel(f"chatcmpl-{stream.request_id}").was_running  # as HTTP has it
        cancelled_at = time.monotonic()
        assert not any(event.finish_reason for event in reading)
        assert stream.error
        assert (stream.error.status, stream.error.code) == (499, "cancelled")
        eventually(lambda: mock.state()["running"] == 0, 5)
        assert time.monotonic() - cancelled_at < 1
        record = Record(staged, stream.request_id)
        eventually(lambda: record.state() == "cancelled", 5)
        assert not other.cancel(stream.request_id).was_running


def test_one_that_waits_in_line_is_cancelled_too(staged: Platform, mock: Mock) -> None:
    mock.behave(**SLOW)
    with Grpc(staged).client(staged.key) as asking:
        streams = [asking.chat_stream() for _ in range(9)]
        opened = [stream.__enter__() for stream in streams]
        eventually(lambda: mock.state()["running"] == 8, 5)
        waiting = opened[-1]
        assert asking.cancel(waiting.request_id).was_running
        record = Record(staged, waiting.request_id)
        eventually(lambda: record.state() == "cancelled", 5)
        assert not list(waiting)
        assert waiting.error
        assert (waiting.error.status, waiting.error.code) == (499, "cancelled")
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_strangers_request_is_not_cancelled(
    staged: Platform, mock: Mock, asking: GrpcClient
) -> None:
    mock.behave(**SLOW)
    with Grpc(staged).client(new_key(staged)) as stranger, asking.chat_stream() as stream:
        told = []
        for request_id in (stream.request_id, "00000000-0000-0000-0000-000000000000", "x"):
            with pytest.raises(grpc.RpcError) as problem:
                stranger.cancel(request_id)
            refused = error_of(problem.value)
            told.append((refused.status, refused.message))
        assert len(set(told)) == 1
        assert told[0][0] == 404
        assert mock.state()["running"] == 1


# Messages ----------------------------------------------------------------------------------------
def raw(channel: grpc.Channel, path: str, sent: bytes, key: str) -> Answer | bytes:
    metadata = [("authorization", f"Bearer {key}")]
    try:
        ask: Any = channel.unary_unary(path)
        answer: bytes = ask(sent, metadata=metadata, timeout=30)
    except grpc.RpcError as error:
        return error_of(error)
    return answer


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"\xff\xff", "invalid_protobuf", None),
        (b'{"prompt": "hi"}', "invalid_protobuf", None),
        (b"\x0a\x02\xff\xfe", "invalid_protobuf", None),
        (b"\x0a\x02hi\x48\x05", "invalid_request", "9"),
        (b"\x0a\x02hi\x19" + bytes(8), "invalid_request", "3"),
        (b"", "invalid_request", "prompt"),
    ],
)
def test_bytes_that_are_no_request(
    staged: Platform, channel: grpc.Channel, sent: bytes, code: str, param: str | None
) -> None:
    refused = raw(channel, SERVICE + "Inference", sent, staged.key)
    assert isinstance(refused, Answer)
    assert (refused.status, refused.code, refused.param) == (400, code, param)
    unknown = raw(channel, SERVICE + "Inference", sent, "nobody")
    assert isinstance(unknown, Answer)
    assert unknown.status == 401


def test_without_a_key_no_message_is_waited_for(staged: Platform) -> None:
    """Else strangers would take all places with calls that never begin."""
    with hostile(Grpc(staged).address) as stranger:
        stranger.open(SERVICE + "Chat", sent=None)
        stranger.flush()
        stranger.listen(2)
    assert stranger.told["grpc-status 16"] == 1  # UNAUTHENTICATED


def test_a_message_over_the_limit(staged: Platform, asking: GrpcClient) -> None:
    assert asking.plain(prompt="x" * (5 * 1024 * 1024)).status == 429  # RESOURCE_EXHAUSTED


def test_existing_stubs_of_the_plain_call_work(
    staged: Platform, mock: Mock, channel: grpc.Channel
) -> None:
    """Bytes as protoc's code for `string, int32, float, repeated string` writes them."""
    sent = b"\x0a\x07Say hi.\x10\x03\x1d\x33\x33\x33\x3f\x22\x01x"
    answer = raw(channel, "/DeepSeekService/Inference", sent, staged.key)
    assert isinstance(answer, bytes)
    found = deepseek_pb2.InferenceResponse.FromString(answer)
    assert (found.text, found.finish_reason) == (" t0 t1 t2", "length")
    assert found.usage.completion_tokens == 3
    assert len(Record(staged, found.request_id).usage()) == 1
    told = mock.last_body()
    assert (told["max_tokens"], told["temperature"], told["stop"]) == (3, 0.7, ["x"])


def test_records_name_the_method(staged: Platform, asking: GrpcClient) -> None:
    answer = asking.plain(max_tokens=1)
    (route,) = look(
        staged, "select route from inference_completion where id = %s", answer.request_id
    )
    assert route == ("/forebay.v1.InferenceService/Inference",)


def test_health_needs_no_key(channel: grpc.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", "forebay.v1.InferenceService", "DeepSeekService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_flood_of_broken_off_calls_leaves_rest_alone(
    staged: Platform, mock: Mock, channel: grpc.Channel
) -> None:
    mock.behave(tokens=3)
    over, sent = threading.Event(), chat_request({}).SerializeToString()
    ask: Any = channel.unary_stream(SERVICE + "ChatStream")
    along = {"metadata": [("authorization", f"Bearer {staged.key}")]}

    def flood() -> None:
        while not over.is_set():
            calls = [ask(sent, **along) for _ in range(100)]
            for call in calls:
                call.cancel()

    thread = threading.Thread(target=flood)
    thread.start()
    with Rest(staged).client(staged.key) as asking:
        answers = [asking.chat(max_tokens=1) for _ in range(30)]
    over.set()
    thread.join(60)
    assert {answer.status for answer in answers} == {200}
    still_open = "select 1 from inference_completion where state = 'open'"
    eventually(lambda: not look(staged, still_open), 15)


# TLS, and the example ----------------------------------------------------------------------------
@contextmanager
def beside(staged: Platform, folder: Path, **variables: str) -> Iterator[int]:
    """A second gRPC process before the same servers; its port."""
    port = find_free()
    env = {**staged.env, **staged.running(), "FOREBAY_GRPC_PORT": str(port), **variables}
    child = Child([sys.executable, "-m", "config.grpc_server"], folder / "grpc.log", env)
    try:
        wait_until_listening(port, 60)
        yield port
    finally:
        assert child.stop(10) < 10


def test_tls_with_certificates_of_both_sides(staged: Platform, mock: Mock, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.sign("server"), authority.sign("client")
    variables = {
        "FOREBAY_GRPC_CERTIFICATE": str(server.certificate),
        "FOREBAY_GRPC_PRIVATE_KEY": str(server.key),
        "FOREBAY_GRPC_CLIENT_CA": str(authority.own.certificate),
    }
    roots = authority.own.certificate.read_bytes()
    pair = client.key.read_bytes(), client.certificate.read_bytes()
    known = grpc.ssl_channel_credentials(roots, *pair)
    unknown = grpc.ssl_channel_credentials(roots)
    along = {"metadata": [("authorization", f"Bearer {staged.key}")], "timeout": 10}
    with beside(staged, tmp_path, **variables) as port:
        with grpc.secure_channel(f"localhost:{port}", known) as channel:
            ask: Any = channel.unary_unary(SERVICE + "ListModels")
            models = ask(b"", **along)
        assert pb.ListModelsResponse.FromString(models).models[0].id == "mock"
        with (
            grpc.secure_channel(f"localhost:{port}", unknown) as channel,
            pytest.raises(grpc.RpcError),
        ):
            ask = channel.unary_unary(SERVICE + "ListModels")
            ask(b"", **along)


def test_the_example_works_as_it_stands(staged: Platform, mock: Mock, tmp_path: Path) -> None:
    proto, example = PROJECT / "proto", PROJECT / "docs" / "examples" / "grpc_client.py"
    out = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    make = ["grpc_tools.protoc", f"-I{proto}", *out, "forebay/v1/inference.proto"]
    subprocess.run([sys.executable, "-m", *make], check=True)
    ask = [sys.executable, str(example), Grpc(staged).address, staged.key, "mock"]
    ran = subprocess.run(
        ask, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    first, receipt, streamed, again, refused, field = ran.stdout.splitlines()
    assert first.endswith("(length, 36 tokens)")
    assert receipt.startswith("receipt: ")
    assert "(length, event " in streamed
    assert again.startswith("again:  t0")
    assert refused.startswith("INVALID_ARGUMENT - ")
    assert field == "wrong field: messages"
