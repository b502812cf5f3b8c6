"""An engine with a new version of it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from inference.models import Engine, Model, Pool
from tests.inference.replacing.version import BY, OLD, Version, serving


@pytest.fixture
def version() -> Iterator[Version]:
    with serving() as found:
        yield found


@pytest.fixture
def engine() -> Engine:
    pool = Pool.add(Model.add("large", by=BY), f"pool-{uuid4().hex}", by=BY)
    return Engine.add(pool, "gpu-1", by=BY, kind="openai", url=OLD, options={"model": "theirs"})
