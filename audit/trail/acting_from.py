"""Where the person or program acts from whose request is being answered: each act that is put on
record meanwhile carries it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_network: ContextVar[str | None] = ContextVar("acting_from", default=None)


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
