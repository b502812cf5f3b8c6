"""The collection of deploy/ansible: it parses, says its variables, and its templates render."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.configuration import lines
from config.environment import PROJECT
from deploy.ha import __main__ as program
from infrastructure import release
from tests.ansible.playbooks import COLLECTION, VENV

pytestmark = pytest.mark.unit
ROLES = sorted((COLLECTION / "roles").iterdir())
FILES = sorted(
    path
    for pattern in ("*.yml", "*.yaml", "*.yaml.j2")
    for path in COLLECTION.rglob(pattern)
    if ".ansible" not in path.parts
)
SECRET = re.compile(r"password|secret|_key$|_passphrase$|database_url$|redis_url$")
HOSTS = {"data": "10.0.0.1", "front-1": "10.0.0.2", "front-2": "10.0.0.3", "back": "fd00::4"}
needs_ansible = pytest.mark.skipif(
    not (VENV / "bin" / "ansible-playbook").exists(), reason="needs `make .venv-ansible/.ready`"
)
needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy"), reason="needs Debian's haproxy")


def options(role: Path) -> dict[str, dict[str, Any]]:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    entries: dict[str, dict[str, Any]] = specs["main"]["options"]
    return entries


def defaults(role: Path) -> dict[str, Any]:
    file = role / "defaults" / "main.yml"
    return yaml.safe_load(file.read_text()) if file.exists() else {}


def tasks(document: Any) -> Iterator[dict[str, Any]]:
    """Yields every task of a file, those of blocks too."""
    for task in document if isinstance(document, list) else []:
        yield task
        for part in ("block", "rescue", "always", "tasks"):
            yield from tasks(task.get(part))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(COLLECTION)))
def test_it_parses(file: Path) -> None:
    assert list(yaml.safe_load_all(file.read_text())) != [None]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_of_a_role_is_specified(role: Path) -> None:
    specified = options(role)
    assert defaults(role).keys() <= specified.keys()
    needed = {name for name, option in specified.items() if option.get("required")}
    assert specified.keys() == defaults(role).keys() | needed
    assert all(name.startswith(f"{role.name}_") for name in specified)
    assert all(option["description"].endswith(".") for option in specified.values())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_what_could_be_a_secret_is_kept_out_of_logs(role: Path) -> None:
    for name, option in options(role).items():
        if SECRET.search(name) and not name.endswith(("_folder", "_file")):
            assert option.get("no_log"), name
    for file in (role / "tasks").rglob("*.yml"):
        for task in tasks(yaml.safe_load(file.read_text())):
            text = json.dumps({name: part for name, part in task.items() if name != "block"})
            names_one = re.search(
                r"forebay_secret_values|_database_url|secret_files|passphrase|api_key\b", text
            )
            writes = {"ansible.builtin.copy", "ansible.builtin.template", "ansible.builtin.uri"}
            if names_one and (writes & task.keys() or '"stdin"' in text):
                assert task.get("no_log"), (file.name, task["name"])


def test_no_loop_shows_what_a_silent_task_has_asked() -> None:
    """Its results have its arguments, and a loop that fails prints each item whole."""
    for file in FILES:
        listed = list(tasks(yaml.safe_load(file.read_text())))
        silent = {task["register"] for task in listed if task.get("no_log") and "register" in task}
        for task in listed:
            looped = {name for name in silent if f"{name}.results" in str(task.get("loop", ""))}
            assert not looped, (file.name, task["name"])


def test_its_links_lead_to_the_files_of_deploy() -> None:
    """Nothing is written twice: units, rules, targets and dashboards are everybody's."""
    linked = {
        os.path.relpath(path.resolve(), PROJECT / "deploy")
        for path in COLLECTION.rglob("*")
        if path.is_symlink()
    }
    expected = {
        str(path.relative_to(PROJECT / "deploy"))
        for pattern in (
            "systemd/*.service",
            "systemd/*.socket",
            "systemd/*.target",
            "systemd/*.timer",
            "systemd/targets.json",
            "prometheus/prometheus.yml",
            "prometheus/rules/*.yml",
            "grafana/dashboards/*.json",
            "grafana/provisioning/*/*.yaml",
        )
        for path in (PROJECT / "deploy").glob(pattern)
    }
    assert linked == expected


def test_no_unit_of_roots_takes_the_folder_of_the_processes() -> None:
    """systemd would give all of it to root while they run (`StateDirectory=`)."""
    units = [*(PROJECT / "deploy" / "systemd").glob("*.service"), *COLLECTION.rglob("*.service.j2")]
    for unit in units:
        text = unit.read_text()
        if re.search(r"^StateDirectory=forebay$", text, re.M):
            assert re.search(r"^User=forebay$", text, re.M), unit.name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_check_mode_compares_files_with_the_owners_that_they_get(role: Path) -> None:
    for file in (role / "tasks").rglob("*.yml"):
        for task in tasks(yaml.safe_load(file.read_text())):
            for module in (part for part in task.values() if isinstance(part, dict)):
                owners = f"{module.get('owner')} {module.get('group')} {module.get('mode')}"
                assert "check_mode" not in owners, (file.name, task["name"])


def test_the_address_of_the_databases_superuser_is_written_for_the_migration_alone() -> None:
    names = {
        file.relative_to(COLLECTION / "roles").as_posix()
        for file in (COLLECTION / "roles").rglob("tasks/*.yml")
        if "forebay_administrators_database_url" in file.read_text()
    }
    assert names == {"jobs/tasks/migrate.yml"}


def test_old_versions_of_the_program_are_told_from_other_folders() -> None:
    """They are removed."""
    install = yaml.safe_load((COLLECTION / "roles/program/tasks/install.yml").read_text())
    (listing,) = (task["ansible.builtin.find"] for task in install if "List" in task["name"])
    assert listing["use_regex"]
    assert re.match(listing["patterns"], "forebay-0.2.0-0123456789ab")
    for folder in ("forebay-backup", "forebay-data-of-mine", "forebay-0.2.0"):
        assert not re.match(listing["patterns"], folder)


def test_it_has_the_version_of_forebay() -> None:
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    assert galaxy["version"] == release.VERSION


def test_the_proxy_is_that_of_compose() -> None:
    """Time limits, retries and headers: HAProxy before one host is HAProxy before many."""
    template = (COLLECTION / "roles/proxy/templates/haproxy.cfg.j2").read_text()
    compose = (PROJECT / "deploy" / "compose" / "haproxy.cfg").read_text()
    wanted = re.search(r"^defaults\n(.*?)^\S", compose, re.M | re.S)
    assert wanted
    assert wanted[1].strip().partition("\n\n")[0] in template
    for line in re.findall(r"^ +((?:http-request|option|balance) .*)$", compose, re.M):
        assert line in template, line


# Rendered ----------------------------------------------------------------------------------------
GROUPS = {
    "postgresql": "data",
    "valkey": "data",
    "proxy": "data",
    "web": "front-1 front-2",
    "grpc": "front-1 front-2",
    "workers": "front-1 front-2 back",
    "jobs": "front-1",
    "monitoring": "data",
}


def render(folder: Path, groups: dict[str, str], *inventories: Path) -> Path:
    """Returns the folder with what the templates make of an inventory with four hosts."""
    inventory = {
        "all": {
            "hosts": {name: {"ansible_host": address} for name, address in HOSTS.items()},
            "children": {
                f"forebay_{group}": {"hosts": dict.fromkeys(names.split())}
                for group, names in groups.items()
            },
        }
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    files = (folder / "inventory.yml", *inventories)
    named = [word for file in files for word in ("-i", str(file))]
    command = [
        str(VENV / "bin" / "ansible-playbook"),
        *named,
        str(Path(__file__).with_name("render.yml")),
        *("-e", json.dumps({"roles": f"{COLLECTION}/roles", "folder": str(folder)})),
    ]
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(VENV / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert ended.returncode == 0, ended.stdout[-4000:]
    return folder


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("rendered"), GROUPS)


@needs_ansible
def test_the_configuration_file_follows_from_the_inventory(rendered: Path) -> None:
    settings = lines.read(str(rendered / "forebay.env"))
    assert settings["FOREBAY_WEB_PROXIES"] == "10.0.0.1"
    assert settings["FOREBAY_ADMITTING_PROCESSES"] == "6"  # two processes and gRPC on each of two
    assert settings["FOREBAY_METRICS_HOST"] == "10.0.0.2"
    assert settings["FOREBAY_QUEUE_LIMITS"] == '{"realtime": {"waiting": 5000}}'
    assert settings["FOREBAY_PORT"] == "8000"


@needs_ansible
def test_addresses_of_servers_follow_from_the_inventory(rendered: Path) -> None:
    """Passwords are quoted as a URL takes them."""
    urls = json.loads((rendered / "computed.json").read_text())
    assert urls["database"] == "postgres://forebay:a%2Fb%40c@10.0.0.1:5432/forebay"
    assert urls["redis"] == "redis://:a%2Fb%40c@10.0.0.1:6379/0"


@needs_ansible
def test_addresses_of_a_cluster_follow_from_its_own_inventory(tmp_path: Path) -> None:
    program.main(PROJECT / "deploy" / "ha" / "cluster.example.yml", tmp_path / "out")
    hosts = {name: names for name, names in GROUPS.items() if name not in ("postgresql", "valkey")}
    folder = render(tmp_path, hosts, tmp_path / "out" / "inventory.yml")
    urls = json.loads((folder / "computed.json").read_text())
    servers = "10.1.0.11:5432,10.1.0.12:5432,10.2.0.11:5432,10.2.0.12:5432"
    assert urls["database"] == f"postgres://forebay:a%2Fb%40c@{servers}/forebay"
    sentinels = "10.1.0.11:26379,10.2.0.11:26379,10.3.0.11:26379"
    assert urls["redis"] == (
        f"redis+sentinel://:a%2Fb%40c@{sentinels}/forebay/0?sentinel_password=a%2Fb%40c"
    )


@needs_ansible
@needs_haproxy
def test_haproxy_takes_its_configuration(rendered: Path) -> None:
    text = (rendered / "haproxy.cfg").read_text()
    assert "server front-2 10.0.0.3:8000 check" in text
    assert "server front-2 10.0.0.3:50051 proto h2" in text
    text = re.sub(r"    (user|group|stats) .*\n", "", text)
    (rendered / "here.cfg").write_text(text)
    checked = subprocess.run(
        ["haproxy", "-c", "-q", "-f", str(rendered / "here.cfg")], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@needs_ansible
def test_prometheus_finds_the_processes_of_each_host(rendered: Path) -> None:
    targets = json.loads((rendered / "targets.json").read_text())
    assert {(each["labels"]["process"], each["targets"][0]) for each in targets} == {
        ("grpc", "10.0.0.2:9111"),
        ("jobs", "10.0.0.2:9112"),
        ("web1", "10.0.0.2:9131"),
        ("web2", "10.0.0.2:9132"),
    }
    assert {each["labels"]["host"] for each in targets} == {"front-1"}


@needs_ansible
def test_postgresql_lets_the_hosts_in_and_has_connections_for_them(rendered: Path) -> None:
    """Its own host too: what verifies backups there looks at the platform's tables."""
    computed = json.loads((rendered / "computed.json").read_text())
    assert computed["clients"] == ["10.0.0.2/32", "10.0.0.3/32", "fd00::4/128", "10.0.0.1/32"]
    assert "max_connections = 480" in (rendered / "forebay.conf").read_text()
