"""Access that ends while answers are being written: they end too, and are settled once."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from websockets.exceptions import ConnectionClosed

from tests.e2e.ask import Record, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.base import Answer, Event, FrontEnd
from tests.inference.chat.page import Socket
from tests.inference.chat.people import sessions

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SLOW = {"tokens": 600, "interval_ms": 20}  # 12 s
IN_TIME_S = 1.5  # the second that is promised, and what the way to us takes


def key_of(platform: Platform, tenant: str, *options: str) -> dict[str, Any]:
    told = platform.manage("create_api_key", tenant, "--name", "ci", "--json", *options)
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.fixture
def tenant(staged: Platform) -> str:
    name = f"t-{uuid4().hex[:8]}"
    unlimited = ["--requests-per-minute", "0", "--burst", "0", "--max-concurrency", "0"]
    staged.manage("create_tenant", name, *unlimited, "--json")
    return name


def act(platform: Platform, verb: str) -> str:
    """A verb on the models, in the platform's own shell; what it printed."""
    names = "from tenants.models import ApiKey, Member, Tenant; from tenants.roles import Role; "
    return platform.manage("shell", "-v0", "-c", names + verb)


def rotated(platform: Platform, key: dict[str, Any]) -> dict[str, Any]:
    """Its successor; both work."""
    rotate = f"ApiKey.objects.get(pk='{key['id']}').rotate(by='test', overlap=timedelta(hours=1))"
    told = "print(json.dumps({'id': str(fresh.pk), 'api_key': text}))"
    imports = "import json; from datetime import timedelta; "
    found: dict[str, Any] = json.loads(act(platform, f"{imports}fresh, text = {rotate}; {told}"))
    return found


@pytest.fixture
def ready_to_act(staged: Platform) -> Iterator[Callable[[str], Callable[[], float]]]:
    """A shell takes seconds to start and to end: it waits for the word, and tells when it acted."""
    shells: list[threading.Thread] = []

    def prepared(verb: str) -> Callable[[], float]:
        told = f"test:act:{uuid4().hex}"
        waits = (
            "import redis, time; from django.conf import settings; "
            "told = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=70); "
            f"told.set('{told}:ready', 1, ex=60); told.blpop('{told}', 60); "
        )
        after = f"; told.rpush('{told}:done', time.time()); told.expire('{told}:done', 60)"
        link = redis.Redis.from_url(staged.running()["REDIS_URL"], socket_timeout=40)
        thread = threading.Thread(target=act, args=[staged, waits + verb + after])
        thread.start()
        shells.append(thread)
        eventually(lambda: link.get(f"{told}:ready"), 30)

        def go() -> float:
            link.rpush(told, 1)
            done = link.blpop([f"{told}:done"], 30)
            assert done
            return float(done[1])

        return go

    yield prepared
    for shell in shells:
        shell.join()


class Reader:
    """One answer, read by a thread of its own."""

    def __init__(self, front: FrontEnd, key: str, *, stream: bool = True, again: str = "") -> None:
        self.front, self.key = front, key
        self.heard: list[Event] = []
        self.answer: Answer | None = None  # a whole one, or the error at a stream's end
        self.request_id = ""
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._stream if stream else self._ask, args=[again])
        self._thread.start()

    def _stream(self, again: str) -> None:
        with (
            self.front.client(self.key) as asking,
            asking.resume(again) if again else asking.chat_stream() as stream,
        ):
            self.request_id = stream.request_id
            for event in stream:
                self.heard.append(event)
            self.answer = stream.error
        self.ended_at = time.time()

    def _ask(self, _again: str) -> None:
        with self.front.client(self.key) as asking:
            self.answer = asking.chat()
        self.ended_at = time.time()

    def end(self) -> None:
        self._thread.join(30)

    @property
    def code(self) -> str:
        return self.answer.code if self.answer else ""

    @property
    def finish_reason(self) -> str:
        return "".join(event.finish_reason for event in self.heard)


def settled_once(platform: Platform, reader: Reader, mock: Mock) -> None:
    record = Record(platform, reader.request_id)
    (row,) = eventually(record.usage, 5)
    assert row["finish_reason"] == "cancelled"
    assert 0 < row["completion_tokens"] < 600
    assert record.actions() == ["completion:received", "completion:completed"]
    eventually(lambda: record.state() == "cancelled", 5)
    eventually(lambda: mock.state()["running"] == 0, 5)
    time.sleep(1)
    assert len(record.usage()) == 1


@pytest.mark.soak("messages")
@pytest.mark.soak("responses")
@pytest.mark.soak("grpc")
@pytest.mark.soak("ollama")
@pytest.mark.slow(seconds=20)
def test_a_revoked_keys_streams_end(
    staged: Platform, mock: Mock, front: FrontEnd, tenant: str, ready_to_act: Any
) -> None:
    mock.behave(**SLOW)
    key, other = key_of(staged, tenant), key_of(staged, tenant)
    revoke = ready_to_act(f"ApiKey.objects.get(pk='{key['id']}').revoke(by='test')")
    readers = [Reader(front, key["api_key"]) for _ in range(3)]
    untouched = Reader(front, other["api_key"])
    eventually(lambda: all(len(reader.heard) > 10 for reader in [*readers, untouched]))
    revoked_at = revoke()
    for reader in readers:
        reader.end()
        assert reader.ended_at - revoked_at < IN_TIME_S
        assert (reader.code, reader.finish_reason) == ("access_revoked", "")
    untouched.end()
    assert (untouched.code, untouched.finish_reason) == ("", "stop")
    for reader in readers:
        settled_once(staged, reader, mock)
    with front.client(key["api_key"]) as asking:
        assert asking.models().status == 401


@pytest.mark.soak("rest")
@pytest.mark.soak("responses")
@pytest.mark.soak("ollama")
def test_a_suspended_tenants_streams_end_and_it_comes_back(
    staged: Platform, mock: Mock, front: FrontEnd, tenant: str, ready_to_act: Any
) -> None:
    mock.behave(**SLOW)
    key = key_of(staged, tenant)["api_key"]
    suspend = ready_to_act(f"Tenant.objects.get(name='{tenant}').suspend(by='test', reason='x')")
    readers = [Reader(front, key)]
    eventually(lambda: len(readers[0].heard) > 10)
    mock.behave(**SLOW, delay_ms=10_000)
    readers.append(Reader(front, key, stream=False))
    eventually(lambda: mock.state()["running"] == 2)
    suspended_at = suspend()
    for reader in readers:
        reader.end()
        assert reader.ended_at - suspended_at < IN_TIME_S
        assert reader.code == "tenant_suspended"
    assert readers[0].finish_reason == ""
    assert readers[1].answer
    assert readers[1].answer.status == 403
    settled_once(staged, readers[0], mock)
    with front.client(key) as asking:
        refused = asking.chat()
        assert (refused.status, refused.code) == (403, "tenant_suspended")
        act(staged, f"Tenant.objects.get(name='{tenant}').resume(by='test')")
        mock.behave(tokens=3)
        eventually(lambda: asking.chat().status == 200, 3)


@pytest.mark.soak("ollama")
@pytest.mark.soak("rest")
@pytest.mark.soak("grpc")
@pytest.mark.soak("messages")
@pytest.mark.slow(seconds=15)
def test_a_stream_that_is_read_again_ends_too(
    staged: Platform, mock: Mock, front: FrontEnd, tenant: str, ready_to_act: Any
) -> None:
    mock.behave(**SLOW)
    writing = key_of(staged, tenant)
    reading = rotated(staged, writing)  # another key of the tenant may not read it
    revoke = ready_to_act(f"ApiKey.objects.get(pk='{reading['id']}').revoke(by='test')")
    first = Reader(front, writing["api_key"])
    eventually(lambda: len(first.heard) > 5)
    second = Reader(front, reading["api_key"], again=first.request_id)
    eventually(lambda: len(second.heard) > 5)
    revoked_at = revoke()
    second.end()
    assert second.ended_at - revoked_at < IN_TIME_S
    assert second.code == "access_revoked"
    first.end()
    assert first.code == ""  # whose key is good


# Chat --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def people(staged: Platform) -> dict[str, str]:
    return sessions(staged)


@pytest.fixture
def connect(staged: Platform, people: dict[str, str]) -> Iterator[Callable[..., Socket]]:
    opened: list[Socket] = []

    def connected(who: str, tenant: str) -> Socket:
        opened.append(Socket(staged.url, people[who], tenant))
        return opened[-1]

    yield connected
    for socket in opened:
        socket.close()


@pytest.mark.parametrize(
    ("who", "tenant", "verb", "code"),
    [
        ("leaver", "acme", "{member}.remove(by='test')", 4403),
        ("sleeper", "acme", "{member}.change_role(Role.AUDITOR, by='test')", 4403),
        ("tim", "tiny", "{member}.tenant.suspend(by='test', reason='x')", 4423),
    ],
    ids=["removed", "demoted", "suspended"],
)
def test_a_chat_ends_with_its_membership(
    staged: Platform,
    mock: Mock,
    connect: Any,
    ready_to_act: Any,
    who: str,
    tenant: str,
    verb: str,
    code: int,
) -> None:
    mock.behave(**SLOW)
    member = f"Member.objects.get(user__email__startswith='{who}@', tenant__name='{tenant}')"
    take_away = ready_to_act(verb.format(member=member))
    socket = connect(who, tenant)
    started = socket.send()
    numbers = socket.pieces()
    for _ in range(10):
        next(numbers)
    taken_at = take_away()
    with pytest.raises(ConnectionClosed) as closed:
        for _ in numbers:
            pass
    assert time.time() - taken_at < IN_TIME_S
    assert closed.value.rcvd
    assert closed.value.rcvd.code == code
    record = Record(staged, started["answer"]["completion"])
    (row,) = eventually(record.usage, 5)
    if who != "leaver":  # with a member goes what they had asked
        assert (row["finish_reason"], row["completion_tokens"] < 600) == ("cancelled", True)
    eventually(lambda: mock.state()["running"] == 0)
    assert len(record.usage()) == 1


def test_a_chat_that_nobody_reads_ends_too(
    staged: Platform, mock: Mock, connect: Any, ready_to_act: Any
) -> None:
    mock.behave(**SLOW)
    member = "Member.objects.get(user__email__startswith='bob@', tenant__name='globex')"
    take_away = ready_to_act(f"{member}.change_role(Role.AUDITOR, by='test')")
    socket = connect("bob", "globex")
    started = socket.send()
    socket.close()
    eventually(lambda: mock.state()["running"] == 1)
    take_away()
    eventually(lambda: mock.state()["running"] == 0, 2.5)
    (row,) = eventually(Record(staged, started["answer"]["completion"]).usage, 5)
    assert row["finish_reason"] == "cancelled"
