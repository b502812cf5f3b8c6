"""The plan of an installation's drills, what a drill leaves to be undone, and Patroni's answers."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from config.drills import plan as plans
from config.drills import session, undoing
from config.drills.patroni import Cluster
from config.drills.plan import Patroni
from config.drills.undoing import Undoing
from console.compliance.drills.kinds import KINDS

pytestmark = pytest.mark.unit
PLAN = """
topology = "zones a and b, a witness"
model = "smollm2-135m"
http = ["http://10.1.0.1:8000"]
[patroni]
urls = ["http://10.1.0.11:8008"]
[patroni.zones]
a1 = "a"
[kinds.kill_primary]
break = [["ssh", "{host}", "sudo systemctl kill -s KILL patroni"]]
undo = [["ssh", "{host}", "sudo systemctl start patroni"]]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "drills.toml"
    file.write_text(text)
    return file


def test_a_plan_allows_what_it_names_and_the_switch_over(tmp_path: Path) -> None:
    plan = plans.read(written(tmp_path, PLAN))
    assert {kind.name for kind in plan.possible} == {"kill_primary", "switch_over"}
    assert [kind.name for kind in plan.chosen(["switch_over"])] == ["switch_over"]
    with pytest.raises(ValueError, match="lose_zone is not among"):
        plan.chosen(["lose_zone"])
    step = plan.kinds["kill_primary"]
    values = {"name": "a1", "host": "10.1.0.11", "zone": "a"}
    assert plans.filled(step.undo[0], values)[1] == "10.1.0.11"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAN.replace("kill_primary", "kill_everything"), "no drill 'kill_everything'"),
        (PLAN.replace("undo =", "undone ="), "unknown field `undone`|missing required field"),
        (PLAN.replace("http://10.1.0.1:8000", "file:///etc/passwd"), "must begin with http"),
        ("topology = ", "Invalid value"),
        (PLAN.replace("{host}", "{hots}", 1), r"known are \{name\}, \{host\}, \{zone\}"),
        (PLAN.replace("start patroni", "awk '{print $1}'"), "known are"),
        (PLAN.replace("undo = [[", "undo = [] #"), "length >= 1"),
        (PLAN.replace('["http://10.1.0.1:8000"]', "[]"), "length >= 1"),
        (PLAN.replace("[patroni]", "clients = 1000\n[patroni]"), "<= 20"),
        (PLAN.replace("kill_primary", "switch_over"), "takes no commands"),
    ],
)
def test_a_plan_that_is_wrong_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plans.read(written(tmp_path, text))


def test_a_seed_gives_the_same_order_again() -> None:
    kinds = list(KINDS.values())
    order = session.ordered(kinds, 3, 7)
    assert order == session.ordered(kinds, 3, 7)
    assert order != session.ordered(kinds, 3, 8)
    assert all(order.count(kind) == 3 for kind in kinds)


def test_there_are_thirteen_kinds_in_both_languages() -> None:
    assert len(KINDS) == 13
    for kind in KINDS.values():
        assert all((kind.label.en, kind.label.zh, kind.breaks.en, kind.breaks.zh))


def test_what_a_killed_drill_broke_is_undone_later(tmp_path: Path) -> None:
    trace = tmp_path / "undone"
    command = [sys.executable, "-c", f"open({str(trace)!r}, 'a').write('x')"]
    Undoing(tmp_path).note([command])
    another = Undoing(tmp_path)
    assert another.is_open
    assert another.undo() == []
    assert trace.read_text() == "x"
    assert not another.is_open
    assert another.undo() == []


def test_a_command_has_neither_our_input_nor_our_terminal() -> None:
    """An operator's `yes` is for us, and Ctrl-C must not end a command half done."""
    reads = "import os, sys; sys.exit(bool(sys.stdin.read()) or os.getsid(0) != os.getpid())"
    assert undoing.run([sys.executable, "-c", reads]) == ""


def test_what_cannot_be_undone_stays_on_the_list(tmp_path: Path) -> None:
    undoing = Undoing(tmp_path)
    undoing.note([["/nonexistent"]])
    assert "/nonexistent" in undoing.undo()[0]
    assert undoing.is_open


# Patroni ------------------------------------------------------------------------------------------
def member(name: str, role: str = "quorum_standby", **more: Any) -> dict[str, Any]:
    state = "running" if role == "leader" else "streaming"
    usual = {"role": role, "state": state, "host": "127.0.0.1", "timeline": 3}
    return {"name": name, **usual, **more}


@contextmanager
def patroni(answer: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200 if self.path in ("/cluster", "/primary") else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if request["candidate"] == "b1" else 412)
            self.end_headers()
            self.wfile.write(b"switchover is not possible")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


WHOLE = [member("a1", "leader"), member("a2"), member("b1")]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"members": WHOLE}, ""),
        ({"members": WHOLE, "pause": True}, "Patroni is paused"),
        ({"members": WHOLE[1:]}, "0 primaries"),
        ({"members": [*WHOLE, member("b2", "leader")]}, "2 primaries"),
        ({"members": [*WHOLE, member("b2", state="stopped")]}, "not streaming: b2"),
        ({"members": [*WHOLE, member("b2", timeline=2)]}, "not all are on one timeline"),
        ({"members": [WHOLE[0], member("b1", "replica")]}, "no standby counts for commits"),
        ({"members": [WHOLE[0]]}, "no standby counts for commits"),
    ],
)
def test_a_cluster_that_is_not_whole_may_not_be_drilled(
    answer: dict[str, Any], problem: str
) -> None:
    with patroni(answer) as url:
        assert Cluster(Patroni(urls=["http://127.0.0.1:9", url])).problem() == problem


def test_a_server_that_patroni_has_forgotten_is_missing() -> None:
    with patroni({"members": WHOLE}) as url:
        zones = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
        assert Cluster(Patroni(urls=[url], zones=zones)).problem() == "not there: b2"
        urls = [url, *(f"http://127.0.0.1:{port}" for port in (7, 8, 9))]
        assert Cluster(Patroni(urls=urls)).problem() == "3 of 4 servers are there"


def test_a_switch_over_goes_to_any_patroni_that_knows_the_cluster() -> None:
    """The plan may name servers where Patroni has addresses."""
    with patroni({"members": [member("a1", "leader", host="10.1.0.11"), member("b1")]}) as url:
        assert Cluster(Patroni(urls=["http://127.0.0.1:9", url])).switch_over() == "a1 to b1"
    refusing = patroni({"members": [member("a1", "leader"), member("a2")]})
    with refusing as url, pytest.raises(OSError, match="412 switchover is not possible"):
        Cluster(Patroni(urls=[url])).switch_over()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a1; reboot", ""])
def test_a_name_that_is_no_plain_word_is_not_put_into_a_command(host: str) -> None:
    odd = patroni({"members": [member("a1", "leader", host=host), member("b1")]})
    with odd as url, pytest.raises(OSError, match="no name of a server"):
        Cluster(Patroni(urls=[url])).values()


def test_where_no_patroni_answers_nothing_is_well() -> None:
    cluster = Cluster(Patroni(urls=["http://127.0.0.1:9"]))
    assert "does not answer" in cluster.problem()
    assert cluster.primaries() == []
