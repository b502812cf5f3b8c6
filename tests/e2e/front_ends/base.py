"""What every front end can do, in words that are nobody's: the tests of behaviour speak them.

A further front end is a module with a `FrontEnd` here and a name in `__init__.py`: all tests that
take the fixture `front` run over it.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

HI = [{"role": "user", "content": "Say hi."}]


@dataclass
class Answer:
    """`status` as HTTP has it, 200 or why not. `figures`: headers, or metadata."""

    status: int
    request_id: str = ""
    text: str = ""
    finish_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    param: str | None = None
    message: str = ""
    refusal_id: str = ""
    retry_after_s: float = 0.0
    figures: Mapping[str, str] = field(default_factory=dict)


class Event(NamedTuple):
    number: int
    text: str
    finish_reason: str


class Stream(Protocol):
    """Iterated once. Leaving it early hangs up."""

    @property
    def request_id(self) -> str: ...
    @property
    def figures(self) -> Mapping[str, str]: ...
    @property
    def error(self) -> Answer | None:
        """Once it has ended."""
        ...

    def __iter__(self) -> Iterator[Event]: ...


class Client(Protocol):
    """Fields are those of OpenAI's body, and of the plain call."""

    def chat(self, **fields: Any) -> Answer: ...
    def plain(self, **fields: Any) -> Answer: ...
    def chat_stream(self, **fields: Any) -> AbstractContextManager[Stream]: ...
    def resume(self, request_id: str, after: int = 0) -> AbstractContextManager[Stream]: ...
    def at_once(self, n: int, how: str, **fields: Any) -> list[Answer]:
        """The same n times at the same moment. `how`: chat, plain or chat_stream."""
        ...

    def models(self) -> Answer:
        """Their names as `text`, with blanks between."""
        ...


class FrontEnd(Protocol):
    role: str  # of its process (bench/servers/processes.py)

    def client(
        self,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> AbstractContextManager[Client]:
        """None: without a key. `headers`: whatever else goes along, or metadata.

        What takes longer than the timeout is given up: the status of the answer is 504.
        """
        ...
