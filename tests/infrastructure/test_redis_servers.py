import pytest

from infrastructure.redis.servers import PATIENCE, Address, celery_broker, channels_host, servers

WATCHED = "redis+sentinel://:pass%2Fword@a:26380,b,[::1]:26379/forebay/2?sentinel_password=hush"


def test_a_single_server() -> None:
    found = servers("redis://me:secret@valkey:7000/1")
    assert (found.address, found.sentinels) == (Address("valkey", 7000), ())
    assert (found.username, found.password, found.database) == ("me", "secret", "1")
    assert celery_broker("redis://valkey/1") == ("redis://valkey/1", PATIENCE, {})
    assert channels_host("redis://valkey/1") == {"address": "redis://valkey/1", **PATIENCE}


def test_a_socket_in_a_folder() -> None:
    url = "unix://:pass%2Fword@/home/Us%20er/valkey.sock?db=2"
    found = servers(url)
    assert (found.path, found.password, found.database) == (
        "/home/Us er/valkey.sock",
        "pass/word",
        "2",
    )
    broker = "redis+socket://:pass%2Fword@/home/Us%20er/valkey.sock?virtual_host=2"
    assert celery_broker(url) == (broker, {}, {})
    assert channels_host(url) == {"address": url}


def test_a_primary_that_sentinels_watch() -> None:
    found = servers(WATCHED)
    assert found.sentinels == (("a", 26380), ("b", 26379), ("::1", 26379))
    assert (found.name, found.password, found.database) == ("forebay", "pass/word", "2")
    assert found.to_primary == {"password": "pass/word", "db": "2"}
    assert found.to_sentinels["password"] == "hush"


def test_as_celery_takes_it() -> None:
    url, options, _tls = celery_broker(WATCHED)
    assert url.split(";") == [
        "sentinel://:pass%2Fword@a:26380/2",
        "sentinel://:pass%2Fword@b:26379/2",
        "sentinel://:pass%2Fword@[::1]:26379/2",
    ]
    assert options["master_name"] == "forebay"
    assert options["sentinel_kwargs"]["password"] == "hush"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:26379,b:26379",
        "redis+sentinel://a:26379//0",
        "redis+sentinel://a:26379/forebay/first",
        "redis+sentinel:///forebay",
        "redis+sentinel://a:26379,,b:26379/forebay",
        "redis+sentinel://a:port/forebay",
    ],
)
def test_what_names_no_sentinels_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel|[Pp]ort"):
        servers(url)
