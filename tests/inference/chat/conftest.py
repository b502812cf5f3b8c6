"""A running platform with people in it, in front of the mock engine."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform, start_mock
from tests.inference.chat.page import Socket
from tests.inference.chat.people import sessions

Connect = Callable[..., Socket]


@pytest.fixture(scope="session")
def session_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("chat-engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="session")
def chatting(
    session_engine: Mock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, dict[str, str]]]:
    url = f"http://127.0.0.1:{session_engine.port}/v1"
    engine = {"kind": "openai", "url": url, "slots": MOCK_SLOTS, "context_length": 4096}
    platform = Platform(tmp_path_factory.mktemp("chat"), {"mock": engine})
    yield platform, sessions(platform)
    platform.stop()


@pytest.fixture
def engine(session_engine: Mock) -> Iterator[Mock]:
    session_engine.behave(tokens=100, interval_ms=10)
    yield session_engine
    session_engine.behave()


@pytest.fixture
def platform(chatting: tuple[Platform, dict[str, str]], engine: Mock) -> Platform:
    return chatting[0]


@pytest.fixture
def people(chatting: tuple[Platform, dict[str, str]]) -> dict[str, str]:
    return chatting[1]


@pytest.fixture
def connect(platform: Platform, people: dict[str, str]) -> Iterator[Connect]:
    """Opens a person's chat socket; all are closed after the test."""
    opened: list[Socket] = []

    def connected(who: str, tenant: str = "") -> Socket:
        opened.append(Socket(platform.url, people[who], tenant))
        return opened[-1]

    yield connected
    for socket in opened:
        socket.close()


@pytest.fixture
def browse(platform: Platform, people: dict[str, str]) -> Iterator[Callable[[str], httpx.Client]]:
    """A person's HTTP client."""
    opened: list[httpx.Client] = []

    def client(who: str) -> httpx.Client:
        cookies = {"forebay_session": people[who]}
        opened.append(httpx.Client(base_url=platform.url, cookies=cookies))
        return opened[-1]

    yield client
    for one in opened:
        one.close()
