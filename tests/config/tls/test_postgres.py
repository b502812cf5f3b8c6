"""PostgreSQL in TLS 1.3, as DATABASE_URL names it: a given server, since the embedded has none."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from django.db.backends.postgresql.base import DatabaseWrapper

from config import environment
from config.supervisor.embedded.postgres_programs import SystemUser
from config.supervisor.ports import find_free
from config.tls.authority import Authority
from console.compliance.tls_probe import Port, probe
from tests.e2e.ask import eventually

_ITS_OWN = ("client_encoding", "prepare_threshold", "cursor_factory", "context")
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not FOUND, reason="no PostgreSQL with TLS: apt-get install postgresql"),
]


class Postgres:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self._user = folder, find_free(), SystemUser()
        self.authority = Authority.make(folder / "tls")
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        self._user.own(self._data)
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", str(self._data))
        (self._data / "pg_hba.conf").write_text("hostssl all all all trust\n")
        self.renew()

    def renew(self) -> None:
        made = self.authority.server(["localhost"])
        for path in (made.certificate, made.key):
            own = self._data / path.name
            shutil.copy(path, own)
            self._user.own(own)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(self._line(program, *arguments), check=True, stdout=subprocess.DEVNULL)

    def _line(self, program: str, *arguments: str) -> list[str]:
        return [*self._user.prefix(self._data), str(FOUND[-1].with_name(program)), *arguments]

    def start(self) -> subprocess.Popen[bytes]:
        told = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
        told += "-c ssl=on -c ssl_min_protocol_version=TLSv1.3 -c ssl_cert_file=server.crt "
        told += "-c ssl_key_file=server.key -c fsync=off"
        line = self._line("postgres", "-D", str(self._data), *shlex.split(told))
        return subprocess.Popen(line, stderr=subprocess.DEVNULL)

    def url(self, **options: str) -> str:
        said = {"sslmode": "verify-full", "sslrootcert": f"{self.folder}/tls/ca.crt", **options}
        query = "&".join(f"{name}={value}" for name, value in said.items())
        return f"postgres://postgres@localhost:{self.port}/postgres?{query}"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("postgres-tls")
    for above in (folder, *folder.parents[:3]):
        above.chmod(above.stat().st_mode | 0o011)
    server = Postgres(folder)
    with server.start() as process:
        try:
            eventually(lambda: answers(server.url()), 30)
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # the fast way to end


def answers(url: str) -> bool:
    try:
        with connected(url):
            return True
    except psycopg.OperationalError:
        return False


def connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(f"postgresql://{url.partition('://')[2]}", connect_timeout=5)


def version(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    asked = "select version from pg_stat_ssl where pid = pg_backend_pid()"
    found = connection.execute(asked).fetchone()
    return found and found[0]


def through_django(url: str) -> object:
    """Connect as Django's backend does."""
    wrapper = DatabaseWrapper({**environment.database(url, {}), "TIME_ZONE": None}, "over_tls")
    told = wrapper.get_connection_params()
    with psycopg.connect(**{name: told[name] for name in told if name not in _ITS_OWN}) as found:
        return version(found)


def test_every_connection_of_ours(postgres: Postgres) -> None:
    with connected(postgres.url()) as connection:
        assert version(connection) == "TLSv1.3"
    assert through_django(postgres.url()) == "TLSv1.3"


def test_neither_in_clear_nor_to_a_stranger(postgres: Postgres, tmp_path: Path) -> None:
    Authority.make(tmp_path)
    for options in (
        {"sslmode": "disable"},
        {"sslrootcert": f"{tmp_path}/ca.crt"},
        {"ssl_max_protocol_version": "TLSv1.2"},
    ):
        assert not answers(postgres.url(**options)), options
        with pytest.raises(psycopg.OperationalError, match=r"SSL|pg_hba"):
            through_django(postgres.url(**options))


def test_the_prober_tells_that_it_is_tls_1_3_alone(postgres: Postgres) -> None:
    assert probe(Port("database", "127.0.0.1", postgres.port, "postgres")) == "tls13"


def test_a_renewal_by_reloading(postgres: Postgres) -> None:
    with connected(postgres.url()) as before:
        postgres.renew()
        before.execute("select pg_reload_conf()")
        before.commit()
        eventually(lambda: answers(postgres.url()), 10)
        assert version(before) == "TLSv1.3", "who is there stays"


def told(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith("PGSSL")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(environment, "_running", dict)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    environment.tell_libraries()
    new = {name: value for name, value in os.environ.items() if name not in before}
    for name in new:
        del os.environ[name]  # else all later tests of this process would ask for TLS
    return {name: value for name, value in new.items() if name.startswith("PG")}


def test_with_tls_of_our_own_other_machines_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    far = {"DATABASE_URL": "postgres://u:p@db.example.com/f", "FOREBAY_TLS_CA": "/ca.crt"}
    assert told(monkeypatch, far) == {}
    assert told(monkeypatch, {**far, "FOREBAY_TLS": "on"}) == {
        "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.crt",
    }
    near = {"DATABASE_URL": "postgres://u:p@127.0.0.1/f", "FOREBAY_TLS_OUTGOING": "1.2"}
    assert told(monkeypatch, near) == {"PGSSLMINPROTOCOLVERSION": "TLSv1.2"}


def test_the_systems_authorities_are_those_that_all_programs_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SSL_CERT_FILE replaces them; FOREBAY_TLS_CA, which is for us alone, comes before it."""
    system = tmp_path / "system.crt"
    system.touch()
    far = {"DATABASE_URL": "postgres://u:p@db.example.com/f", "FOREBAY_TLS": "on"}
    far["SSL_CERT_FILE"] = str(system)
    assert told(monkeypatch, far)["PGSSLROOTCERT"] == str(system)
    assert told(monkeypatch, {**far, "FOREBAY_TLS_CA": "/ca.crt"})["PGSSLROOTCERT"] == "/ca.crt"


NEAR = "postgres://u:p@localhost/f"


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [
        ("postgres:///f?host=db.example.com", "", True),
        ("postgres://u:p@localhost,db.example.com/f", "", True),
        (NEAR, "postgres://u:p@db.example.com/f", True),
        (NEAR, "postgres://u@%2Frun%2Fpostgresql/f", False),
        ("postgres:///f?host=/run/postgresql", NEAR, False),
    ],
)
def test_every_way_to_name_another_machine(
    monkeypatch: pytest.MonkeyPatch, one: str, other: str, far: bool
) -> None:
    variables = {"DATABASE_URL": one, "FOREBAY_REQUESTS_DATABASE_URL": other, "FOREBAY_TLS": "on"}
    assert ("PGSSLMODE" in told(monkeypatch, variables)) is far
