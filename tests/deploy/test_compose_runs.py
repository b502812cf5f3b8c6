"""deploy/compose comes up by `docker compose up` as it is shipped, and answers over the real wire.

In place of others' images it has stand-ins with Debian's servers (stand_ins/); Grafana stays away.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from tests.deploy import compose_up, stand_ins
from tests.deploy.compose_file import OURS, SERVICES
from tests.deploy.compose_up import ADDRESS, NAME, URL, Compose
from tests.deploy.containers import podman
from tests.e2e.ask import eventually
from tests.e2e.front_ends.grpc import SERVICE, chat_request

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        not (os.environ.get("FOREBAY_TEST_COMPOSE") and compose_up.PROGRAM),
        reason="starts a dozen containers: FOREBAY_TEST_COMPOSE=1 and docker-compose (make soak)",
    ),
]
MODEL = "your-model"
AWAY = {"grafana"}
STAY = sorted(SERVICES.keys() - AWAY - {"migrate"})
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@pytest.fixture(scope="module")
def compose(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = tmp_path_factory.mktemp("compose")
    folder.chmod(0o755)  # users of containers read it
    stand_ins.build(image, folder)
    made = Compose(folder, image)
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def key(compose: Compose) -> str:
    """Of a new tenant, once all are up."""
    compose.up(*STAY)
    manage = ("exec", "-T", "jobs", "forebay", "manage")
    compose(*manage, "create_tenant", "acme", "--json")
    answer = json.loads(compose(*manage, "create_api_key", "acme", "--name", "load", "--json"))
    return str(answer["api_key"])


def test_without_an_image_nothing_begins(compose: Compose) -> None:
    refused = compose.ask("up", "-d", without="FOREBAY_IMAGE")
    assert refused.returncode
    assert "FOREBAY_IMAGE is missing a value: name the image, for example" in refused.stderr


def test_a_missing_secret_stops_it_by_its_name(compose: Compose) -> None:
    """Docker does not begin; podman puts an empty folder in its place, and Forebay refuses that."""
    for name in ("master_key", "administrators_database_url"):
        secret = compose.folder / "secrets" / name
        aside = secret.rename(compose.folder / "aside")
        only = ("--no-deps", "--pull", "never", "--exit-code-from", "migrate", "migrate")
        refused = compose.ask("up", *only)
        compose("rm", "-f", "migrate")
        if secret.is_dir():
            secret.rmdir()
        aside.rename(secret)
        assert refused.returncode
        assert f"secrets/{name}" in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stdout


def test_all_come_up_in_order_and_are_well(compose: Compose, key: str) -> None:
    found = {each["Service"] for each in _listed(compose)}
    assert found == SERVICES.keys() - AWAY
    (migrate,) = (each for each in _listed(compose) if each["Service"] == "migrate")
    assert (migrate["State"], migrate["ExitCode"]) == ("exited", 0)
    names = [each["Name"] for each in _listed(compose) if each["Service"] != "migrate"]
    assert {f"{NAME}-web-1", f"{NAME}-web-2"} <= set(names)
    for name in names:
        eventually(lambda name=name: compose_up.is_well(name), 300)  # type: ignore[misc]  # mypy knows no default of it


def _listed(compose: Compose) -> list[dict[str, Any]]:
    return [json.loads(line) for line in compose("ps", "-a", "--format", "json").splitlines()]


def test_a_chat_goes_through_the_proxy_whole_and_streamed(key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=URL, headers=headers, timeout=120) as asking:
        eventually(lambda: asking.get("/readyz").status_code == 200, 300)
        whole = asking.post("/v1/chat/completions", json=CHAT)
        assert (whole.status_code, whole.json()["usage"]["completion_tokens"]) == (200, 4)
        streamed = asking.post("/v1/chat/completions", json=CHAT | {"stream": True})
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert asking.get("/login/").status_code == 200


def test_a_chat_goes_over_grpc(key: str) -> None:
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{ADDRESS}:50051", options) as channel:
        ask = channel.unary_unary(
            f"{SERVICE}Chat",
            request_serializer=pb.ChatRequest.SerializeToString,
            response_deserializer=pb.ChatResponse.FromString,
        )
        sent = chat_request({"model": MODEL, "max_tokens": 4})
        answer = ask(sent, timeout=120, metadata=(("authorization", f"Bearer {key}"),))
    assert answer.usage.completion_tokens == 4


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"migrate"}))
def test_it_is_as_hard_as_compose_yaml_says(compose: Compose, key: str, name: str) -> None:
    container = f"{NAME}-{name}-1"
    assert "Read-only" in podman("exec", container, "sh", "-c", "touch /x 2>&1 || true")
    assert podman("exec", container, "id", "-u") == "10001"
    status = podman("exec", container, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    (told,) = json.loads(podman("inspect", container))
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert told["HostConfig"]["NanoCpus"] == float(limits["cpus"]) * 1e9
    assert told["HostConfig"]["Memory"] == _bytes(limits["memory"])


def _bytes(size: str) -> int:
    return int(size[:-1]) << {"M": 20, "G": 30}[size[-1]]


def test_who_speaks_to_no_other_host_cannot(compose: Compose, key: str) -> None:
    for name in ("postgres", "valkey", "beat"):
        assert podman("exec", f"{NAME}-{name}-1", "cat", "/proc/net/route").count("00000000\t") < 2


def test_prometheus_has_the_rules_and_scrapes_every_process(compose: Compose, key: str) -> None:
    def roles() -> list[str]:
        found = asked("targets?state=active")["activeTargets"]
        return sorted(one["labels"]["role"] for one in found if one["health"] == "up")

    def asked(path: str) -> Any:
        words = ("wget", "-q", "-O", "-", f"http://127.0.0.1:9090/api/v1/{path}")
        return json.loads(podman("exec", f"{NAME}-prometheus-1", *words))["data"]

    eventually(lambda: {*roles()} >= {"grpc", "jobs", "web", "worker"}, 180)
    eventually(lambda: roles().count("web") == 2, 60)
    alerts = [rule for group in asked("rules?type=alert")["groups"] for rule in group["rules"]]
    assert len(alerts) > 20
    assert {rule["health"] for rule in alerts} <= {"ok", "unknown"}


def test_a_new_first_person_gets_a_link(compose: Compose, key: str) -> None:
    """As docs/operations/install.md has it."""
    said = compose("run", "--rm", "-T", "--no-deps", "jobs", "manage", "first_run")
    assert f"Set the operator's password: {URL}/" in said


def test_a_web_process_is_replaced_and_the_proxy_finds_the_new_one(
    compose: Compose, key: str
) -> None:
    podman("kill", f"{NAME}-web-1")
    compose.up("web")
    with httpx.Client(base_url=URL, headers={"Authorization": f"Bearer {key}"}) as asking:
        sent = {"json": CHAT, "timeout": 120}
        assert asking.post("/v1/chat/completions", **sent).status_code == 200  # type: ignore[arg-type]  # its parts
    assert podman("ps", "--filter", f"name={NAME}-web-1", "-q")
