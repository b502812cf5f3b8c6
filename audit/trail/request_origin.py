"""The origin of the current request: its network, and an operator's API key.

Every act that is recorded meanwhile includes it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_network: ContextVar[str | None] = ContextVar("acting_from", default=None)
_key: ContextVar[Mapping[str, str]] = ContextVar("acting_with", default={})  # noqa: B039  # never changed


@contextmanager
def acting_from(network: str | None) -> Iterator[None]:
    """Sets the network, which is the address without its host part, or None."""
    token = _network.set(network)
    try:
        yield
    finally:
        _network.reset(token)


def present_network() -> str | None:
    return _network.get()


@contextmanager
def acting_with(key: Mapping[str, str]) -> Iterator[None]:
    """Sets the details of a key that every act includes, such as its name and its maker."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


def present_key() -> Mapping[str, str]:
    return _key.get()
