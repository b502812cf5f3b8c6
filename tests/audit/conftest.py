from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo


@pytest.fixture
def dsn(transactional_db: None) -> str:
    """The test database, for what goes past Django."""
    name = connection.settings_dict["NAME"]
    return make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)


@pytest.fixture
def look(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own: it sees what others have committed."""
    with psycopg.connect(dsn, autocommit=True) as own:
        yield own
