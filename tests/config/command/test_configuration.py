"""FOREBAY_CONFIG and NAME_FILE: what they give, and what is refused with which line."""

import os
from pathlib import Path

import pytest

from config.configuration import apply
from tests.fresh_start import started

pytestmark = pytest.mark.unit
URL = "postgres://forebay:pässword@db/forebay"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "forebay.env"


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def applied(variables: dict[str, str]) -> dict[str, str]:
    apply(variables)
    return variables


def refused(variables: dict[str, str]) -> str:
    with pytest.raises(ValueError) as problem:
        apply(variables)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_the_file_says_what_the_environment_does_not(file: Path) -> None:
    text = "# Forebay\n\nFOREBAY_PORT=9000\nFOREBAY_HOST=0.0.0.0\nHTTPS_PROXY=http://proxy:1\n"
    private(
        file, text + 'FOREBAY_QUEUE_LIMITS={"realtime": {"waiting": 9}}\nFOREBAY_MODEL=\n', 0o644
    )
    found = applied({"FOREBAY_CONFIG": str(file), "FOREBAY_PORT": "1234"})
    assert found == {
        "FOREBAY_CONFIG": str(file),
        "FOREBAY_PORT": "1234",
        "FOREBAY_HOST": "0.0.0.0",
        "HTTPS_PROXY": "http://proxy:1",
        "FOREBAY_QUEUE_LIMITS": '{"realtime": {"waiting": 9}}',
    }


def test_every_process_reads_it(file: Path) -> None:
    private(file, "FOREBAY_IP_PER_MINUTE=7\n")
    assert started(FOREBAY_CONFIG=str(file)).stdout.split()[0] == "7"
    ended = started(FOREBAY_CONFIG=str(file.with_name("none")))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "No such file" in ended.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("FOREBAY_PROT=1", "there is no variable FOREBAY_PROT; do you mean FOREBAY_PORT?"),
        ("DATABSE_URL=x", "nobody reads DATABSE_URL; do you mean DATABASE_URL?"),
        ("FOREBAY_DATABASE_SCOPE=system", "not for you to set"),
        ("FOREBAY_PORT = 1", "line 1: must be NAME=VALUE"),
        ("FOREBAY_PORT= 1", "line 1: a blank stands before"),
        ("export FOREBAY_PORT=1", "line 1: must be NAME=VALUE"),
        ("FOREBAY_PORT", "line 1: must be NAME=VALUE"),
        ("FOREBAY_PORT=1\nFOREBAY_PORT=2", "line 2: FOREBAY_PORT stands there twice"),
        ('FOREBAY_HOST="0.0.0.0"', "begins with a quote"),
        ("FOREBAY_HOST=::1 # here", "has a # behind a blank"),
        ("REDIS_URL=redis://:a$b@r/0", "put it into a file, REDIS_URL_FILE"),
        ("REDIS_URL=redis://:a\\b@r/0", "put it into a file, REDIS_URL_FILE"),
    ],
)
def test_what_others_would_read_differently_or_nobody_reads_is_refused(
    file: Path, line: str, said: str
) -> None:
    assert said in refused({"FOREBAY_CONFIG": str(private(file, line))})


def test_a_secret_in_a_file_that_everybody_reads_is_refused(file: Path) -> None:
    private(file, "FOREBAY_MASTER_KEY=abc\n", 0o644)
    assert f"chmod o= {file}" in refused({"FOREBAY_CONFIG": str(file)})
    file.chmod(0o640)
    assert applied({"FOREBAY_CONFIG": str(file)})["FOREBAY_MASTER_KEY"] == "abc"


def test_a_file_that_everybody_writes_is_refused(file: Path) -> None:
    """FOREBAY_ENGINES may have commands in it."""
    private(file, "FOREBAY_PORT=1\n", 0o666)
    assert f"chmod o-w {file}" in refused({"FOREBAY_CONFIG": str(file)})


def test_a_secret_comes_from_its_file(file: Path) -> None:
    found = applied({"DATABASE_URL_FILE": str(private(file, f"{URL}\n", 0o440))})
    assert found == {"DATABASE_URL": URL}  # a child is told the value alone


def test_the_environment_weighs_more_than_a_secret_of_the_file(file: Path) -> None:
    private(file, f"DATABASE_URL_FILE={file}.none\n")
    assert applied({"FOREBAY_CONFIG": str(file), "DATABASE_URL": URL})["DATABASE_URL"] == URL
    private(file, "REDIS_URL=redis://other/0\n")
    secret = private(file.with_name("secret"), "redis://here/0")
    found = applied({"FOREBAY_CONFIG": str(file), "REDIS_URL_FILE": str(secret)})
    assert found["REDIS_URL"] == "redis://here/0"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "is empty"),
        (" \n", 0o600, "is empty"),
        (URL, 0o644, "everybody may read"),
        (f"{URL}\nmore", 0o600, "has several lines"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_secret_that_is_none_is_refused(
    file: Path, text: str | None, mode: int, said: str
) -> None:
    if text is not None:
        private(file, text, mode)
    line = refused({"DATABASE_URL_FILE": str(file)})
    assert line.startswith("DATABASE_URL_FILE: ")
    assert said in line
    assert URL not in line


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:s3c/ret@db/f",
        "postgres://u:s3c#ret@db/f",
        "postgres://u:s3c?ret@db/f",
        "postgres://u:s3c@ret@db/f",
        "postgres://u:s3c%ret@db/f",
        "postgres://u:s3c ret@db/f",
        "postgres://u:s3c[ret@db/f",
        "redis://:s3c/ret@db/0",
        "redis://:s3c#ret@db/0",
        "rediss+sentinel://:s3c/ret@a:26379,b:26379/main/0",
    ],
)
def test_a_password_that_is_no_part_of_a_url_is_told_to_nobody(url: str) -> None:
    """PostgreSQL's and Redis' own words would have it, or half of it."""
    name = "DATABASE_URL" if url.startswith("postgres") else "REDIS_URL"
    line = refused({name: url})
    assert line.startswith(f"{name}: its password must be percent-encoded")
    assert "s3c" not in line
    assert "ret" not in line


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "postgres:///forebay?host=/run/postgresql",
        "postgres://forebay@%2Frun%2Fpostgresql/forebay?sslmode=verify-full",
        "postgresql://u:a%2Fb%40c@a:1,b:2/f?application_name=a@b",
        "redis://127.0.0.1:6379/0",
        "redis://:a@b%c@[::1]:6379/0",
        "redis+sentinel://:p@a:26379,b:26379/main/0?sentinel_password=p@q",
        "redis+sentinel://:p@a:26379,[::1]:26379/main/0",
        "postgresql://u:p@a:1,[2001:db8::1]:2/f",
        "unix:///run/valkey.sock?db=1",
    ],
)
def test_what_works_is_not_refused(url: str) -> None:
    name = "DATABASE_URL" if url.startswith("postgres") else "REDIS_URL"
    assert applied({name: url}) == {name: url}


def test_a_secret_that_is_said_twice_must_be_the_same(file: Path) -> None:
    private(file, URL)
    both = {"DATABASE_URL_FILE": str(file), "DATABASE_URL": URL}
    assert applied(dict(both)) == {"DATABASE_URL": URL}
    assert "both set, and differ" in refused({**both, "DATABASE_URL": "postgres://b@c/d"})


def test_a_process_that_lacks_a_secret_ends_with_one_line(file: Path) -> None:
    ended = started(DATABASE_URL_FILE=str(file))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith(f"DATABASE_URL_FILE: {file}: No such file")


def test_nothing_of_this_run_is_unknown() -> None:
    """Otherwise every start would warn."""
    from config.configuration.variables import unknown

    assert "FOREBAY_HOME" not in unknown(os.environ)
    assert unknown(["FOREBAY_PROT", "FOREBAY_PORT", "HOME"]) == {"FOREBAY_PROT": "FOREBAY_PORT"}
