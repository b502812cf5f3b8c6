"""deploy/compose: what Compose is told fits together, and nothing is left open."""

import os
import re
import stat
import subprocess
from pathlib import Path, PurePath

import pytest
import yaml

from config.command.command_line import SUBCOMMANDS
from config.configuration.variables import KNOWN
from tests.deploy.compose_file import COMPOSE, FOLDER, OURS, SERVICES

pytestmark = pytest.mark.unit
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


@each_service
def test_it_has_limits_a_health_check_and_a_version(name: str) -> None:
    service = SERVICES[name]
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service.get("healthcheck") or name == "migrate"
    assert service.get("restart")
    if name not in OURS:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", service["image"])
    assert service.get("networks")


@pytest.mark.parametrize("name", sorted(OURS))
def test_ours_have_a_root_that_nobody_writes_to_and_no_privilege(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["command"][0] in SUBCOMMANDS
    told = {each for each in service["environment"] if "FOREBAY" in each or "_URL" in each}
    assert told <= KNOWN
    for variable, place in service["environment"].items():
        if variable.endswith("_FILE"):
            assert place.removeprefix("/run/secrets/") in service["secrets"], variable
    if name != "migrate":
        assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_every_role_is_there() -> None:
    commands = {service["command"][0] for service in OURS.values()}
    assert commands == {"migrate", "web", "grpc", "worker", "jobs", "beat"}
    assert SERVICES["vllm"]["profiles"] == ["gpu"]


def test_nothing_is_used_that_is_not_there_and_nothing_is_there_for_nobody() -> None:
    for kind in ("secrets", "configs", "networks"):
        used = {
            word if isinstance(word, str) else word["source"]
            for service in SERVICES.values()
            for word in service.get(kind, ())
        }
        assert used == COMPOSE[kind].keys(), kind
    volumes = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if re.match(r"\w+:", volume)
    }
    assert volumes == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("store", ["model", "job"])
def test_workers_have_the_files_that_web_and_jobs_have(store: str) -> None:
    """A model that is uploaded at the console is served by a worker."""
    places = set()
    for name in ("web", "jobs", "worker"):
        variables = SERVICES[name]["environment"]
        usual = f"/var/lib/forebay/{store}-store"
        path = PurePath(variables.get(f"FOREBAY_{store.upper()}_STORE", usual))
        mounts = dict(volume.split(":")[1::-1] for volume in SERVICES[name]["volumes"])
        places.add((mounts[str(path.parent)], path.name))
    assert places == {("state", f"{store}-store")}


def test_files_that_it_names_are_there() -> None:
    named = [each["file"] for each in COMPOSE["configs"].values()]
    named = [re.sub(r"^\$\{\w+:-(.+)\}$", r"\1", path) for path in named]
    assert [path for path in named if not (FOLDER / path).is_file()] == []
    assert (FOLDER / "../prometheus/rules").is_dir()


def test_a_variable_without_which_nothing_works_is_asked_for() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    known = dict.fromkeys(re.findall(r"^([A-Z_]+)=", (FOLDER / ".env.example").read_text(), re.M))
    asked = set(re.findall(r"\$\{([A-Z_]+)", text))
    assert asked == known.keys()
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) == {"FOREBAY_IMAGE", "FOREBAY_PUBLIC_URL"}


def test_a_stream_ends_before_its_container_is_killed() -> None:
    for name in ("web", "grpc", "worker"):
        assert SERVICES[name]["stop_grace_period"] == "630s"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: needs root")
def test_secrets_are_made_once_for_those_who_need_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(FOLDER / "make_secrets.sh"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    files = {path.name: path for path in folder.iterdir()}
    assert files.keys() == COMPOSE["secrets"].keys()
    for path in files.values():
        assert path.stat().st_size
        assert not path.stat().st_mode & stat.S_IRWXO
        assert path.stat().st_uid != 0
    from config.configuration import apply

    ours = {"DATABASE_URL_FILE": str(files["database_url"])}
    ours |= {"FOREBAY_MASTER_KEY_FILE": str(files["master_key"])}
    apply(ours)
    assert ours["DATABASE_URL"].startswith("postgres://forebay:")
    assert len(ours["FOREBAY_MASTER_KEY"]) == 44
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, "nothing was changed" in again.stderr) == (1, True)


DOCKER = """#!/bin/sh
case "$1 $2" in
    "compose -f") cat <<END
name: forebay
services:
  web:
    image: forebay:0.2.0
  proxy:
    environment:
      image: none
    image: docker.io/library/haproxy:3.2.4-alpine
networks:
  inside:
    image: none
END
    ;;
    "pull --quiet") [ "$3" != forebay:0.2.0 ] ;;
    "image inspect") case "$5" in *haproxy*) echo "docker.io/library/haproxy@sha256:12ab" ;; esac ;;
esac
"""


def test_images_can_be_pinned_by_their_digests(tmp_path: Path) -> None:
    """Those of others: what was built here has no digest, and stays as it is."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    script = tmp_path / "pin_images.sh"
    script.write_text((FOLDER / "pin_images.sh").read_text())
    for _ in range(2):
        ended = subprocess.run(
            ["sh", str(script)],
            env=os.environ | {"DOCKER": str(tmp_path / "docker")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stderr == "web: there is no digest of forebay:0.2.0\n"
        pinned = yaml.safe_load((tmp_path / "compose.override.yaml").read_text())
        image = "docker.io/library/haproxy:3.2.4-alpine@sha256:12ab"
        assert pinned == {"services": {"proxy": {"image": image}}}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "compose.override.yaml",
        "docker",
        "pin_images.sh",
    ]


def test_web_processes_believe_haproxy_alone_and_grpc_believes_nobody() -> None:
    told = SERVICES["web"]["environment"]
    assert told["FOREBAY_WEB_PROXIES"] == "${FRONT_PROXY:-172.31.250.2},${TLS_PROXY:-127.0.0.1}"
    assert not {"FOREBAY_GRPC_PROXIES", "FOREBAY_TRUSTED_PROXIES"} & told.keys()
    front = {name for name, service in SERVICES.items() if "front" in service["networks"]}
    assert front == {"proxy", "web"}
    assert "inside" not in SERVICES["proxy"]["networks"]
