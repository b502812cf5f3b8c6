"""The test database: migrated beforehand (prepared.py), emptied in little time (emptying.py)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connection
from django.dispatch import receiver
from django.test import TransactionTestCase
from django.utils import translation
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.internal.conjecture import providers
from psycopg.conninfo import make_conninfo
from pytest_django import DjangoDbBlocker
from redis import Redis

from audit.erasure import tombstones
from config.celery import app as celery_app
from inference import engines
from tenants.models import Tenant
from tenants.rate_limits.admission import CLOCK_KEY
from tests import embedded, static_files
from tests.emptying import Emptying

# The same examples each time: a run that fails can be run again. `make soak` looks for new ones.
# On a busy machine everything is too slow.
EXPLORE = bool(os.environ.get("FOREBAY_TEST_EXPLORE"))
FIRST_FAILURE = bool(os.environ.get("FOREBAY_TEST_FIRST_FAILURE"))  # looks for no simpler one
hypothesis_settings.register_profile(
    "forebay",
    derandomize=not EXPLORE,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.shrink or not FIRST_FAILURE],
)
hypothesis_settings.load_profile("forebay")
if not EXPLORE:
    # Else Hypothesis draws from the constants of our modules, of those that happen to be loaded.
    vars(providers)["is_local_module_file"] = lambda path: False


def pytest_configure() -> None:
    """Wake-ups go to the broker of this run, in whichever order tests run.

    Passwords of tests need not withstand anybody. Running platforms hash as they should.
    """
    celery_app.set_default()
    static_files.on_live_servers()
    # Threads of tests are not Celery's: what one keeps would be there in the next test.
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # A second `django.setup()`, in a test, would bind the log to that test's captured stderr.
    settings.LOGGING_CONFIG = None


@receiver(setting_changed)
def _serve_what_the_settings_name(setting: str, **_signal: object) -> None:
    if setting == "ENGINES":
        engines.forget()


@pytest.fixture(autouse=True)
def no_tombstones_of_others() -> None:
    """Tests of erasure that ran before in this process have written some: no platform starts."""
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A request of an earlier test leaves its language with the thread."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Redis]:
    """The one of this process."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture(autouse=True)
def limits_lost_nothing(request: pytest.FixtureRequest) -> None:
    """What another test lost in Redis would make the limits strict for a minute."""
    marks = {mark.name for mark in request.node.iter_markers()}
    if not marks & {"unit", "e2e"}:
        request.getfixturevalue("valkey").delete(CLOCK_KEY)


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """An embedded PostgreSQL comes with the test database, and goes with it."""
    return embedded.own_database or bool(request.config.getvalue("reuse_db"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Each worker has a server of its own; on one that was given, each has a database."""
    if not embedded.own_database:
        request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """After a test that commits, tables are emptied without Django's `flush` where they can be."""
    if not embedded.own_database:
        yield
        return
    with django_db_blocker.unblock():
        empty = Emptying(_superuser())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: empty())
        yield
    empty.close()
    connection.close()


def _superuser() -> str:
    password = (Path(os.environ["FOREBAY_HOME"]) / "secrets" / "postgres.password").read_text()
    name = connection.settings_dict["NAME"]
    return make_conninfo(settings.DATABASE_URL, dbname=name, user="postgres", password=password)
