"""The origin of the request that is being answered: its network, and the key of an operator.

Each act that is put on record meanwhile carries it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_network: ContextVar[str | None] = ContextVar("acting_from", default=None)
_key: ContextVar[Mapping[str, str]] = ContextVar("acting_with", default={})  # noqa: B039  # never changed


@contextmanager
def acting_from(network: str | None) -> Iterator[None]:
    """`network` is the address without its host part, or None where there is none."""
    token = _network.set(network)
    try:
        yield
    finally:
        _network.reset(token)


def present_network() -> str | None:
    return _network.get()


@contextmanager
def acting_with(key: Mapping[str, str]) -> Iterator[None]:
    """`key` is what every act says of it, such as its name and the operator who made it."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


def present_key() -> Mapping[str, str]:
    return _key.get()
