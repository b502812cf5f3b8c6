"""What a script, a test or a benchmark sets from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from config import environment
from config.environment import PROJECT, database
from config.supervisor import options
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem
from tests.fresh_start import started

pytestmark = pytest.mark.unit
_SUPERVISOR = """
import sys, time
from pathlib import Path
from config.supervisor.home import Home
Home(Path(sys.argv[1])).take()
print("taken", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "100 50000 asvs-5"),
        ({"FOREBAY_IP_PER_MINUTE": "7"}, "7 50000 asvs-5"),
        ({"FOREBAY_IP_PER_MINUTE": "0"}, "0 50000 asvs-5"),
        ({"FOREBAY_BATCH_LINES": "2", "FOREBAY_PROFILE": "mlps-l3"}, "100 2 mlps-l3"),
    ],
)
def test_the_environment_sets_it(variables: dict[str, str], shown: str) -> None:
    assert started(**variables).stdout.strip() == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOREBAY_IP_PER_MINUTE", "many"),
        ("FOREBAY_WEB_PROXIES", "1"),
        ("FOREBAY_WEB_PROXIES", "0.0.0.0/0"),
        ("FOREBAY_GRPC_PROXIES", "proxy.example"),
        ("FOREBAY_TRUSTED_PROXIES", "1"),
        ("FOREBAY_PROFILE", "none"),
        ("FOREBAY_LOG_FORMAT", "xml"),
        ("FOREBAY_ENERGY", "yes"),
        ("FOREBAY_ENERGY_FULL", "2"),
        ("FOREBAY_ENERGY_HOLD_S", "0"),
        ("FOREBAY_CARBON_G_PER_KWH", "-1"),
        ("FOREBAY_LOG_LEVEL", "loud"),
        ("FOREBAY_QUEUE_LIMITS", '{"realtime": {"waiting": 0}}'),
        ("FOREBAY_QUEUE_LIMITS", "none"),
        ("FOREBAY_WORK_CLASSES", '[["vip", "*"]]'),
        ("FOREBAY_SESSION_NAMES", "x-session-id, metadata.session"),
        ("FOREBAY_OIDC", "[{}]"),
        ("FOREBAY_AUDIT_PUBLIC_KEYS_OLD", "c2hvcnQ="),
        ("FOREBAY_AUDIT_PUBLIC_KEYS_OLD", "-----"),
    ],
)
def test_a_wrong_value_is_one_clear_line(name: str, value: str) -> None:
    ended = started(**{name: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith(name)
    assert ended.stderr.count("\n") == 1


def test_a_count_of_proxies_is_refused_with_what_to_set_in_place_of_it() -> None:
    refused = started(FOREBAY_TRUSTED_PROXIES="1").stderr
    assert "FOREBAY_WEB_PROXIES" in refused
    assert "FOREBAY_GRPC_PROXIES" in refused
    assert started(FOREBAY_TRUSTED_PROXIES="0").stdout.strip() == "100 50000 asvs-5"


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "1 0"),
        ({"FOREBAY_WEB_PROCESSES": "4", "FOREBAY_PROCESS_NUMBER": "2"}, "4 2"),
        ({"FOREBAY_GRPC_PORT": "50051", "FOREBAY_PROCESS_NUMBER": "2"}, "2 2"),
        # Other machines have a process of that number too.
        ({"FOREBAY_ADMITTING_PROCESSES": "8", "FOREBAY_PROCESS_NUMBER": "2"}, "8 0"),
    ],
)
def test_how_many_admit_requests_and_which_one_this_is(
    variables: dict[str, str], shown: str
) -> None:
    show = "import config.settings as s; print(s.ADMITTING_PROCESSES, s.PROCESS_NUMBER)"
    assert started(show, **variables).stdout.strip() == shown


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres://u:p@/forebay?host=/home/a%20b&port=5432", "/home/a b", 5432),
        ("postgres://u:p@/forebay?host=db.internal&sslmode=require", "db.internal", ""),
        ("postgres://u:p@db.internal:5433/forebay", "db.internal", 5433),
        ("postgres://u:p@/forebay?host=one,other&port=5432,5433", "", ""),  # libpq's own
    ],
)
def test_django_knows_where_the_database_is(url: str, host: str, port: int | str) -> None:
    """Its `dbshell` goes there, and the compliance page says what is between."""
    told = database(url, {})
    assert (told["HOST"], told["PORT"]) == (host, port)
    assert ("host" in told["OPTIONS"]) is ("," in url)
    assert told["OPTIONS"].get("sslmode") == ("require" if "sslmode" in url else None)


@pytest.mark.parametrize(("word", "governs"), [("", False), ("engines", False), ("clocks", True)])
def test_clocks_are_governed_only_where_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, word: str, governs: bool
) -> None:
    monkeypatch.setenv("FOREBAY_ENERGY", word)
    assert options.read().governs_clocks is governs


def test_a_wrong_word_for_energy_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_ENERGY", "yes")
    with pytest.raises(environment.EnvironmentProblem, match="off or engines or clocks or on"):
        environment.energy()


@pytest.mark.parametrize("value", ["0", "1.01", "-1", "half", "nan"])
def test_a_share_is_above_nothing_and_at_most_all(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FOREBAY_ENERGY_FULL", value)
    with pytest.raises(environment.EnvironmentProblem, match="FOREBAY_ENERGY_FULL"):
        environment.share("FOREBAY_ENERGY_FULL", 0.5)


def test_what_a_supervisor_has_noted_counts_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of a killed one is still there: `forebay check` would ask a dead server."""
    monkeypatch.setattr(environment, "HOME", tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    home = Home(tmp_path)
    line = [sys.executable, "-c", _SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout
        supervisor.stdout.readline()
        home.write_private(home.env_file, '{"DATABASE_URL": "postgres://here"}')
        assert environment.variable("DATABASE_URL") == "postgres://here"
        with pytest.raises(RunProblem, match=f"process {supervisor.pid}"):
            home.take()
        supervisor.kill()
    assert environment.variable("DATABASE_URL") == ""
    home.take()
