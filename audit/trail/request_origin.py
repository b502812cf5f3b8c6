"""The origin of the current request: its network, and an operator's API key.

Every act that is recorded meanwhile includes it.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

_network: ContextVar[str | None] = ContextVar("acting_from", default=None)
_key: ContextVar[Mapping[str, str]] = ContextVar("acting_with", default={})  # noqa: B039  # never changed


def acting_from(network: str | None) -> AbstractContextManager[None]:
    """Sets the network, which is the address without its host part, or None."""
    return _during(_network, network)


def present_network() -> str | None:
    return _network.get()


def acting_with(key: Mapping[str, str]) -> AbstractContextManager[None]:
    """Sets the details of a key that every act includes, such as its name and its maker."""
    return _during(_key, key)


def present_key() -> Mapping[str, str]:
    return _key.get()


@contextmanager
def _during(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
