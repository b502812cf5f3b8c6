"""The chat socket of a running platform: answers arrive whole, once, and only where they should."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis
from django.conf import settings
from psycopg.conninfo import make_conninfo
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bench.mock_engine.answers import words
from tests.e2e.ask import eventually
from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform
from tests.inference.chat.conftest import Connect
from tests.inference.chat.page import Socket

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
Browse = Callable[[str], httpx.Client]


def stored(client: httpx.Client, started: dict[str, Any]) -> dict[str, Any]:
    """The answer as the record has it."""
    found = client.get(started["conversation"]["url"] + "messages/").json()["messages"]
    (answer,) = [turn for turn in found if turn["id"] == started["answer"]["id"]]
    return dict(answer)


def settled(client: httpx.Client, started: dict[str, Any]) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        answer = stored(client, started)
        return None if answer["streaming"] else answer

    return dict(eventually(ended))


def rows(platform: Platform, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        return database.execute(query, values).fetchall()


# A process that ended before it stored the exchange ----------------------------------------------
def forget(platform: Platform, conversation: dict[str, Any]) -> None:
    """Take away what the process would have stored next: the request is on record."""
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        database.execute("update inference_conversation set leaf_id = null")
        for table in ("message", "conversation"):
            name = "conversation_id" if table == "message" else "id"
            query = f"delete from inference_{table} where {name} = %s"
            database.execute(query, [conversation["id"]])


def test_a_message_that_is_sent_again_finds_its_answer_on_record(
    connect: Connect, platform: Platform, engine: Mock
) -> None:
    socket, message = connect("bob", "acme"), str(uuid4())
    started = socket.send("once", message=message)
    text = socket.answer()
    forget(platform, started["conversation"])
    again = socket.send("once", message=message)
    assert again["answer"]["completion"] == started["answer"]["completion"]
    assert again["answer"]["text"] == text
    assert not again["answer"]["streaming"]
    query = "select count(*) from inference_usage where completion_id = %s"
    assert rows(platform, query, started["answer"]["completion"]) == [(1,)]


def test_a_message_that_is_sent_again_follows_its_running_answer(
    connect: Connect, platform: Platform, engine: Mock
) -> None:
    engine.behave(tokens=150, interval_ms=10)
    first, second, message = connect("bob", "acme"), connect("bob", "acme"), str(uuid4())
    started = first.send("once", message=message)
    first.close()
    forget(platform, started["conversation"])
    again = second.send("once", message=message)
    assert again["answer"]["completion"] == started["answer"]["completion"]
    assert again["answer"]["streaming"]
    assert second.hear_until("end")["finish_reason"] in ("stop", "length")


# A commit that is cut off or takes long, as during a planned switch-over ------------------------
HELD_UP = """
    create sequence commits;
    create function hold_up() returns trigger language plpgsql security definer as $$ begin
        if nextval('commits') = 1 then perform {act}; end if;
        return null;
    end $$;
    create constraint trigger hold_up after insert on inference_message
        deferrable initially deferred for each row execute function hold_up()
"""
NO_MORE = "drop function hold_up cascade; drop sequence commits"
CUT_OFF = "pg_terminate_backend(pg_backend_pid())"


@contextmanager
def first_commit_held_up(platform: Platform, act: str) -> Iterator[None]:
    """Inside, the server does this in the first commit that stores a message."""
    password = (platform.home / "secrets" / "postgres.password").read_text().strip()
    dsn = make_conninfo(platform.running()["DATABASE_URL"], user="postgres", password=password)
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute(HELD_UP.format(act=act))
        try:
            yield
            assert database.execute("select last_value > 1 from commits").fetchone() == (True,)
        finally:
            database.execute(NO_MORE)


def test_a_message_whose_commit_is_cut_off_is_stored_once(
    connect: Connect, platform: Platform, engine: Mock
) -> None:
    socket, message = connect("bob", "acme"), str(uuid4())
    with first_commit_held_up(platform, CUT_OFF):
        started = socket.send("once", message=message)
        assert socket.answer()
    query = "select count(*) from inference_message where conversation_id = %s"
    assert rows(platform, query, started["conversation"]["id"]) == [(2,)]


def test_a_message_that_is_stored_after_its_answer_has_ended_shows_it(
    connect: Connect, browse: Browse, platform: Platform, engine: Mock
) -> None:
    socket, requests = connect("bob", "acme"), engine.state()["requests"]
    with first_commit_held_up(platform, "pg_sleep(6)"):  # meanwhile its request is queued again
        started = socket.send("once")
        socket.hear_until("end")
    answer = stored(browse("bob"), started)
    assert (answer["text"], answer["finish_reason"]) == (words(100), "stop")
    assert engine.state()["requests"] == requests + 1


# Answers ---------------------------------------------------------------------------------------
def test_an_answer_arrives_in_numbered_pieces(connect: Connect, browse: Browse) -> None:
    socket = connect("bob", "acme")
    started = socket.send("What is a forebay?")
    assert started["conversation"]["title"] == "What is a forebay?"
    assert (started["question"]["author"], started["answer"]["streaming"]) == ("user", True)
    pieces = list(socket.pieces())
    assert [number for number, _ in pieces] == list(range(1, len(pieces) + 1))
    assert "".join(text for _, text in pieces) == words(100)
    assert socket.ended["finish_reason"] == "stop"
    figures = socket.ended["figures"]
    assert figures["tokens"] == 100
    assert 20 < figures["tokens_per_second"] < 200
    answer = stored(browse("bob"), started)
    assert (answer["text"], answer["figures"]) == (words(100), figures)


def test_the_conversation_so_far_goes_along(connect: Connect, engine: Mock) -> None:
    engine.behave(tokens=3)
    socket = connect("bob", "acme")
    started = socket.send("one")
    socket.answer()
    socket.send("two", conversation=started["conversation"]["id"])
    socket.answer()
    asked = engine.last_body()
    assert [(m["role"], m["content"]) for m in asked["messages"]] == [
        ("user", "one"),
        ("assistant", words(3)),
        ("user", "two"),
    ]
    assert asked["max_tokens"] == 2048


@pytest.mark.parametrize("how", ["field", "tags"])
def test_reasoning_is_streamed_stored_and_not_sent_back(
    connect: Connect, browse: Browse, engine: Mock, how: str
) -> None:
    engine.behave(tokens=6, reasoning=how)
    socket = connect("bob", "acme")
    started = socket.send("one")
    socket.answer()
    thought, text = " t0 t1 t2", " t3 t4 t5"
    if how == "tags":
        thought, text = thought.strip(), text.strip()
    answer = stored(browse("bob"), started)
    assert (answer["reasoning"], answer["text"]) == (thought, text)
    again = connect("bob", "acme")
    again.say("follow", message=started["answer"]["id"], after=0)
    deltas = []
    while (heard := again.hear())["type"] == "delta":
        deltas.append(heard)
    reasoned = "".join(piece for delta in deltas for piece in delta.get("reasoning", []))
    assert reasoned == (thought if how == "field" else "")
    socket.send("two", conversation=started["conversation"]["id"])
    socket.answer()
    said = [message["content"] for message in engine.last_body()["messages"]]
    assert said == ["one", text, "two"]


def test_what_no_longer_fits_is_left_out_and_told(
    connect: Connect, browse: Browse, engine: Mock
) -> None:
    engine.behave(tokens=3)
    socket = connect("bob", "acme")
    conversation = socket.send("one " * 8000)["conversation"]["id"]
    socket.answer()
    started = socket.send("two", conversation=conversation)
    socket.answer()
    assert [message["content"] for message in engine.last_body()["messages"]] == ["two"]
    told = "The oldest 2 messages were left out: they do not fit into the model's context."
    assert (started["answer"]["notice"], stored(browse("bob"), started)["notice"]) == (told, told)
    assert started["question"]["notice"] == ""


def test_a_reader_that_comes_back_gets_the_rest(connect: Connect, browse: Browse) -> None:
    first = connect("bob", "acme")
    started = first.send()
    reading, got = first.pieces(), []
    for number, text in reading:
        got.append(text)
        if number == 30:
            break
    first.close()
    time.sleep(0.3)
    second = connect("bob", "acme")
    second.say("follow", message=started["answer"]["id"], after=30)
    rest = list(second.pieces())
    assert rest[0][0] == 31
    assert "".join(got + [text for _, text in rest]) == words(100)
    assert stored(browse("bob"), started)["text"] == words(100)


def test_an_answer_goes_on_when_nobody_reads_it(connect: Connect, browse: Browse) -> None:
    socket = connect("bob", "acme")
    started = socket.send()
    socket.close()
    answer = settled(browse("bob"), started)
    assert (answer["text"], answer["finish_reason"]) == (words(100), "stop")


def test_when_the_events_are_gone_the_stored_text_comes(
    connect: Connect, platform: Platform
) -> None:
    socket = connect("bob", "acme")
    started = socket.send()
    socket.answer()
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as server:
        assert server.delete("gen:" + started["answer"]["completion"].replace("-", ""))
    socket.say("follow", message=started["answer"]["id"], after=0)
    assert socket.hear()["text"] == words(100)
    assert socket.hear()["finish_reason"] == "stop"


def test_redis_loses_everything_in_mid_answer(
    connect: Connect, browse: Browse, platform: Platform, engine: Mock
) -> None:
    engine.behave(tokens=200, interval_ms=20)
    socket = connect("bob", "acme")
    started = socket.send()
    text = ""
    for number, piece in socket.pieces():
        text += piece
        if number == 40:
            with redis.Redis.from_url(platform.running()["REDIS_URL"]) as server:
                server.flushall()
    assert text == words(200)
    assert stored(browse("bob"), started)["text"] == text


def test_an_engine_that_breaks_off_is_told(connect: Connect, engine: Mock, browse: Browse) -> None:
    engine.behave(fail="drop_mid_stream", tokens=40)
    socket = connect("bob", "acme")
    started = socket.send()
    text = socket.answer()
    assert 0 < len(text) < len(words(40))
    assert socket.ended["finish_reason"] == "error"
    assert socket.ended["error"]["code"] == "engine_failed"
    answer = stored(browse("bob"), started)
    assert (answer["text"], answer["error"]["code"]) == (text, "engine_failed")


# Stopping --------------------------------------------------------------------------------------
def test_a_stopped_answer_keeps_what_it_has(connect: Connect, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=1000, interval_ms=10)
    socket = connect("bob", "acme")
    started = socket.send()
    text = ""
    for number, piece in socket.pieces():
        text += piece
        if number == 30:
            socket.say("stop", message=started["answer"]["id"])
    assert socket.ended["finish_reason"] == "cancelled"
    assert words(1000).startswith(text)
    assert len(text) < len(words(200))
    assert stored(browse("bob"), started)["text"] == text
    eventually(lambda: engine.state()["running"] == 0, 3)


def test_a_stop_in_the_queue(connect: Connect, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=1000, interval_ms=30)
    crowd = connect("alice", "acme")
    running = [crowd.send()["answer"]["id"] for _ in range(MOCK_SLOTS)]
    eventually(lambda: engine.state()["running"] == MOCK_SLOTS, 5)
    socket = connect("bob", "acme")
    started = socket.send()
    socket.say("stop", message=started["answer"]["id"])
    assert socket.hear_until("end")["finish_reason"] == "cancelled"
    assert settled(browse("bob"), started)["text"] == ""
    for message in running:
        crowd.say("stop", message=message)
    eventually(lambda: engine.state()["running"] == 0, 20)


# Sending ---------------------------------------------------------------------------------------
def test_a_message_sent_twice_counts_once(connect: Connect, browse: Browse, engine: Mock) -> None:
    engine.behave(tokens=20)
    socket, message = connect("bob", "acme"), str(uuid4())
    first = socket.send("again?", message=message)
    socket.close()
    again = connect("bob", "acme")
    second = again.send("again?", message=message)
    assert second["answer"]["id"] == first["answer"]["id"]
    assert again.answer() == words(20)
    found = browse("bob").get(first["conversation"]["url"] + "messages/").json()["messages"]
    assert len(found) == 2


def again(socket: Socket, answer: str, **fields: Any) -> dict[str, Any]:
    wish = {"message": str(uuid4()), "answer": answer, "model": "mock", **fields}
    socket.say("again", **wish)
    return socket.hear_until("started", "error")


def test_another_answer_is_wanted_twice_and_billed_once(
    connect: Connect, browse: Browse, platform: Platform, engine: Mock
) -> None:
    engine.behave(tokens=20)
    socket, message = connect("bob", "acme"), str(uuid4())
    first = socket.send("again?")
    socket.answer()
    second = again(socket, first["answer"]["id"], message=message)
    socket.close()
    tab = connect("bob", "acme")
    assert again(tab, first["answer"]["id"], message=message)["answer"]["id"] == message
    assert tab.answer() == words(20)
    found = browse("bob").get(first["conversation"]["url"] + "messages/").json()["messages"]
    assert [turn["id"] for turn in found] == [first["question"]["id"], message]
    assert found[1]["siblings"] == second["answer"]["siblings"] == [first["answer"]["id"], message]
    used = "select count(*) from inference_usage u join inference_message m using (completion_id)"
    here = " where m.conversation_id = %s"
    assert rows(platform, used + here, first["conversation"]["id"]) == [(2,)]


def test_an_answer_goes_on_and_the_model_reads_its_beginning(
    connect: Connect, browse: Browse, engine: Mock
) -> None:
    engine.behave(tokens=5)
    socket = connect("bob", "acme")
    first = socket.send("count", max_tokens=3)
    begun = socket.answer()
    more = again(socket, first["answer"]["id"], continues=True)
    assert more["answer"]["before"]["text"] == begun
    rest = socket.answer()
    asked = engine.last_body()["messages"]
    assert [message["content"] for message in asked[:2]] == ["count", begun]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    whole = stored(browse("bob"), more)
    assert (whole["before"]["text"], whole["text"]) == (begun, rest)


def test_nobody_has_anothers_message_answered(connect: Connect, engine: Mock) -> None:
    engine.behave(tokens=2)
    socket = connect("bob", "acme")
    started = socket.send("mine")
    socket.answer()
    for answer in (started["answer"]["id"], str(uuid4())):
        refused = again(connect("alice", "acme"), answer)
        assert (refused["code"], refused["text"]) == (
            "not_found",
            "This conversation does not exist.",
        )


def test_one_answer_at_a_time_in_a_conversation(connect: Connect, engine: Mock) -> None:
    socket, tab = connect("bob", "acme"), connect("bob", "acme")
    started = socket.send()
    refused = tab.send("me too", conversation=started["conversation"]["id"])
    assert (refused["type"], refused["code"]) == ("error", "busy")
    socket.answer()
    accepted = tab.send("and now", conversation=started["conversation"]["id"])
    assert accepted["type"] == "started"
    tab.answer()


def test_a_limit_is_told_and_leaves_nothing_behind(
    connect: Connect, platform: Platform, engine: Mock
) -> None:
    engine.behave(tokens=1)
    socket = connect("tim", "tiny")
    for _ in range(2):  # the first one may use up the minute's only request
        before = rows(platform, "select count(*) from inference_message")
        message = str(uuid4())
        refused = socket.send("Say something.", message=message)
        if refused["type"] == "error":
            break
        socket.answer()
    assert (refused["code"], refused["message"]) == ("rate_limit_exceeded", message)
    assert 1 <= refused["retry_after"] <= 60
    assert rows(platform, "select count(*) from inference_message") == before


def test_what_is_refused_starts_no_conversation(connect: Connect, platform: Platform) -> None:
    refused = connect("quinn", "spent").send("beyond the quota")
    assert (refused["type"], refused["code"]) == ("error", "insufficient_quota")
    of_quinn = "tenant_id = (select id from tenants_tenant where name = 'spent')"
    for table in ("inference_conversation", "inference_message"):
        assert rows(platform, f"select count(*) from {table} where {of_quinn}") == [(0,)]
    events = f"select count(*) from audit_event where {of_quinn} and action like 'conversation:%%'"
    assert rows(platform, events) == [(0,)]


def test_a_shorter_answer_is_offered_where_the_quota_has_room_for_it(
    connect: Connect, engine: Mock
) -> None:
    engine.behave(tokens=3)
    socket = connect("sam", "scarce")
    refused = socket.send()
    assert "900 tokens are left today" in refused["text"]
    assert 32 <= refused["answer_tokens"] < 900
    assert socket.send(max_tokens=refused["answer_tokens"])["type"] == "started"
    assert socket.answer().split() == ["t0", "t1", "t2"]
    assert socket.send(max_tokens=900)["type"] == "error", "more than what is left"


def test_an_unknown_model(connect: Connect) -> None:
    assert connect("bob", "acme").send(model="gone")["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("nonsense", "invalid_message"),
        ("[]", "invalid_message"),
        ('{"type": "dance"}', "invalid_message"),
        ('{"type": "follow", "message": "1"}', "invalid_message"),
        ('{"type": "follow", "message": 1, "after": -1}', "invalid_message"),
        ('{"type": "send", "text": "", "model": "mock"}', "invalid_message"),
        ("x" * 300_000, "too_long"),
    ],
)
def test_bad_messages_are_told_and_do_no_harm(connect: Connect, sent: str, code: str) -> None:
    socket = connect("bob", "acme")
    socket.say_raw(sent)
    assert socket.hear()["code"] == code
    socket.say_raw(b"\x00\xff")
    assert socket.hear()["code"] == "invalid_message"
    socket.say("ping")
    assert socket.hear() == {"type": "pong"}


def test_too_long_a_text(connect: Connect) -> None:
    message = str(uuid4())
    refused = connect("bob", "acme").send("x" * 60_001, message=message)
    assert (refused["code"], refused["message"]) == ("too_long", message)


# Whose it is -----------------------------------------------------------------------------------
def test_other_peoples_conversations_do_not_exist(
    connect: Connect, engine: Mock, platform: Platform
) -> None:
    engine.behave(tokens=300, interval_ms=10)
    bob = connect("bob", "acme")
    started = bob.send("a secret")
    missing = str(uuid4())
    strangers = [connect("alice", "acme"), connect("charlie"), connect("bob", "globex")]
    for stranger in strangers:
        told = []
        for message, conversation in [
            (started["answer"]["id"], started["conversation"]["id"]),
            (missing, missing),
        ]:
            stranger.say("follow", message=message, after=0)
            told.append(stranger.hear())
            stranger.say("stop", message=message)
            told.append(stranger.hear())
            told.append(stranger.send("hello", conversation=conversation))
        assert {answer["code"] for answer in told} == {"not_found"}
        assert len({answer["text"] for answer in told}) == 1
    assert bob.answer() == words(300)
    taken = strangers[0].send("mine", message=started["question"]["id"])
    assert taken["code"] == "invalid_message"


def test_what_is_stored_is_sealed(connect: Connect, platform: Platform) -> None:
    socket = connect("bob", "acme")
    started = socket.send("the secret word is quagmire")
    socket.answer()
    (title,) = rows(
        platform,
        "select title_ciphertext from inference_conversation where id = %s",
        started["conversation"]["id"],
    )
    texts = rows(
        platform,
        "select ciphertext from inference_message where conversation_id = %s",
        started["conversation"]["id"],
    )
    assert len(texts) == 2
    for (ciphertext,) in [title, *texts]:
        assert b"quagmire" not in ciphertext
        assert b" t1" not in ciphertext


def test_who_is_not_let_in(platform: Platform, people: dict[str, str]) -> None:
    for session, tenant, origin in [
        ("", "", ""),
        ("nobody", "", ""),
        (people["carol"], "acme", ""),  # audits, does not chat
        (people["charlie"], "acme", ""),  # of another tenant
        (people["bob"], "acme", "http://elsewhere.example"),
        (people["bob"], "acme", f"http://127.0.0.1:{platform.port + 1}"),
        (people["bob"], "acme", "http://localhost"),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            Socket(platform.url, session, tenant, origin)
        assert refused.value.response.status_code == 403


def test_the_other_name_of_this_machine_is_let_in(
    platform: Platform, people: dict[str, str]
) -> None:
    socket = Socket(platform.url, people["bob"], "acme", f"http://localhost:{platform.port}")
    socket.close()


def test_a_member_who_is_removed_is_out_at_once(connect: Connect, platform: Platform) -> None:
    socket = connect("leaver", "acme")
    socket.say("ping")
    socket.hear()
    code = "Member.objects.get(user__email='leaver@acme.example').remove(by='test')"
    platform.manage("shell", "-v0", "-c", f"from tenants.models import Member; {code}")
    closed_with(socket, 4403)


def test_a_signed_out_session_is_out_at_once(
    connect: Connect, platform: Platform, people: dict[str, str]
) -> None:
    socket = connect("sleeper", "acme")
    socket.say("ping")
    socket.hear()
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        database.execute("delete from django_session where session_key = %s", (people["sleeper"],))
    closed_with(socket, 4401)


def closed_with(socket: Socket, code: int) -> None:
    time.sleep(0.6)  # what the socket still trusts
    with pytest.raises(ConnectionClosed) as closed:
        socket.send()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == code


# Tabs ------------------------------------------------------------------------------------------
def test_other_tabs_hear_that_something_changed(connect: Connect, engine: Mock) -> None:
    engine.behave(tokens=5)
    socket, tab, stranger = connect("bob", "acme"), connect("bob", "acme"), connect("alice", "acme")
    for one in (socket, tab, stranger):
        one.say("ping")
        assert one.hear()["type"] == "pong"
    started = socket.send()
    changed = tab.hear()
    assert changed == {"type": "chat.changed", "conversation": started["conversation"]["id"]}
    tab.say("follow", message=started["answer"]["id"], after=0)
    assert tab.answer() == socket.answer() == words(5)
    stranger.say("ping")
    assert stranger.hear() == {"type": "pong"}


def test_renaming_and_deleting_is_heard_too(
    connect: Connect, browse: Browse, engine: Mock, platform: Platform
) -> None:
    engine.behave(tokens=1)
    socket, client = connect("bob", "acme"), browse("bob")
    started = socket.send("to be renamed")
    socket.answer()
    client.get(started["conversation"]["url"])  # brings the CSRF cookie
    headers = {"X-CSRFToken": client.cookies["csrftoken"]}
    url = started["conversation"]["url"]
    renamed = client.post(url + "title/", data={"title": "A name"}, headers=headers)
    assert renamed.json()["title"] == "A name"
    assert socket.hear()["type"] == "chat.changed"
    assert client.post(url + "deletion/", headers=headers).status_code == 204
    assert socket.hear()["type"] == "chat.changed"
    assert client.get(url).status_code == 404
    acts = rows(
        platform,
        "select action, host(client_net) from audit_event "
        "where detail->>'conversation' = %s order by id",
        started["conversation"]["id"],
    )
    here = "127.0.0.0"  # the network, over the socket and over HTTP
    assert acts == [("conversation:create", here), ("conversation:delete", here)]


def test_an_answer_whose_conversation_is_deleted(
    connect: Connect, browse: Browse, engine: Mock
) -> None:
    engine.behave(tokens=2000, interval_ms=10)
    socket, client = connect("bob", "acme"), browse("bob")
    started = socket.send()
    client.get(started["conversation"]["url"])
    headers = {"X-CSRFToken": client.cookies["csrftoken"]}
    client.post(started["conversation"]["url"] + "deletion/", headers=headers)
    end = socket.hear_until("end")
    assert (end["finish_reason"], end["error"]["code"]) == ("error", "not_found")
    eventually(lambda: engine.state()["running"] == 0, 3)
