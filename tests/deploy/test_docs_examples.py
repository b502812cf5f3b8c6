"""Every configuration that a page shows is read by what its reader would give it to.

Commands are another matter. Here are TOML, YAML, JSON and environment variables.
"""

import json
import os
import re
import shutil
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.simulate import policy
from config.command.command_line import SUBCOMMANDS
from config.configuration import lines
from config.configuration.variables import KNOWN, RETIRED
from config.drills import plan as plans
from config.energy import bounds
from config.environment import PROJECT
from config.supervisor.engines.launches import launched
from config.supervisor.home import Home
from inference import engine_entries
from inference.engines import built
from tests.deploy.kubernetes.custom import validate
from tests.deploy.kubernetes.rendered import defaults, helmed

pytestmark = pytest.mark.unit
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
PAGES.append(PROJECT / "deploy" / "kubernetes" / "chart" / "forebay" / "README.md")
PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
ANSIBLE = PROJECT / "deploy" / "ansible"
EXAMPLES_OF_NODE = set((PROJECT / "docs" / "examples").glob("*.js"))


@dataclass(frozen=True)
class Example:
    page: str
    line: int
    language: str  # "" of an indented one
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        return next(
            (line for line in self.text.splitlines() if line and not line.startswith("#")), ""
        )

    @property
    def kind(self) -> str:
        """What it is written in, "" for a command, an output or a drawing."""
        if self.language in ("toml", "json", "yaml"):
            return self.language
        if self.first == "[Service]":
            return "systemd"
        if re.match(r"\[[\w.-]+\]( +#.*)?$", self.first):
            return "toml"
        if re.match(r"[A-Za-z_]+:( [\[{].*)?( +#.*)?$", self.first):
            return "yaml"
        if re.match(r'"\w+": [\[{]', self.first):
            return "json"
        return ""


def _examples(page: Path) -> Iterator[Example]:
    name, text = page.relative_to(PROJECT).as_posix(), page.read_text()
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
    for block in fenced.finditer(text):
        yield Example(name, text[: block.start()].count("\n") + 1, block[1], block[2])
    prose = fenced.sub(lambda block: "\n" * block[0].count("\n"), text)
    for block in re.finditer(r"(?<=\n\n)(?: {4,}\S.*\n(?:\n(?= {4}))*)+", prose):
        line = prose[: block.start()].count("\n") + 1
        yield Example(name, line, "", textwrap.dedent(block[0]))


EXAMPLES = [each for page in PAGES for each in _examples(page)]


def of(kind: str) -> list[Example]:
    return [each for each in EXAMPLES if each.kind == kind]


def each_of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", of(kind), ids=str)


def test_examples_are_seen() -> None:
    """None of what follows holds where nothing is looked at."""
    assert {kind: len(of(kind)) >= least for kind, least in LEAST.items()} == dict.fromkeys(
        LEAST, True
    )
    assert EXAMPLES_OF_NODE


LEAST = {"toml": 12, "yaml": 4, "json": 2, "systemd": 1}


def check_engines(named: dict[str, Any], folder: Path) -> None:
    """Reads it as FOREBAY_ENGINES, names the servers that it has started, and makes each engine."""
    home = Home(folder)
    home.take()
    engines, _servers = launched(named, home)
    found = engine_entries.entries(engines)
    assert found
    for entry in found:
        fields = dict(entry.fields)
        if str(fields.get("api_key", "")).startswith("sealed:"):
            fields["api_key"] = "opened"
        built(replace(entry, fields=fields))


@each_of("toml")
def test_every_toml(example: Example, tmp_path: Path) -> None:
    if example.page == "docs/scheduling.md":
        (tmp_path / "mine.toml").write_text(example.text)
        assert policy.read(tmp_path / "mine.toml").classes
    elif example.page == "docs/operations/disaster-recovery.md":
        (tmp_path / "drills.toml").write_text(example.text)
        assert plans.read(tmp_path / "drills.toml").possible
    elif "[gpus." in example.text:
        check_bounds(example.text, tmp_path)
    else:
        check_engines(tomllib.loads(example.text), tmp_path)


def check_bounds(text: str, folder: Path) -> None:
    """Has the energy agent read it, with a user of this machine in place of `forebay`."""
    (folder / "energy.toml").write_text(text.replace('"forebay"', '"root"'))
    (folder / "energy.toml").chmod(0o644)
    assert bounds.read(folder / "energy.toml", os.geteuid()).gpus


@each_of("systemd")
def test_every_part_of_a_unit(example: Example, tmp_path: Path) -> None:
    """systemd takes it beside Debian's unit, in the folder that the page names."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    page = (PROJECT / example.page).read_text()
    (unit, name) = re.findall(r"`/etc/systemd/system/([\w.-]+)\.d/([\w.-]+)`", page)[0]
    (tmp_path / unit).write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / f"{unit}.d").mkdir()
    (tmp_path / f"{unit}.d" / name).write_text(example.text)
    command = ["systemd-analyze", "verify", "--man=no", tmp_path / unit]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in ended.stderr.splitlines() if unit in line]
    assert (ended.returncode, complaints) == (0, [])


@each_of("yaml")
def test_every_yaml(example: Example, tmp_path: Path) -> None:
    shown = yaml.safe_load(example.text)
    if isinstance(shown, list):
        check_play(example.text)
    elif "program_settings" in shown:
        assert shown.keys() <= options_of_the_program().keys()
        assert shown["program_settings"].keys() <= KNOWN
    elif "scrape_configs" in shown:
        check_prometheus(shown, tmp_path)
    elif "metric_relabel_configs" in shown:
        check_prometheus({"scrape_configs": [{"job_name": "forebay", **shown}]}, tmp_path)
    else:
        check_chart_values(shown)


def check_play(text: str) -> None:
    """A play is the example's; a task runs a command of `forebay`."""
    (shown,) = yaml.safe_load(text)
    if "hosts" in shown:
        assert text in (ANSIBLE / "examples" / "git-and-compose" / "playbook.yml").read_text()
        return
    program, name, *_ = shown["ansible.builtin.command"].split()
    assert program == "forebay"
    assert name in SUBCOMMANDS
    assert shown["environment"].keys() <= KNOWN


def options_of_the_program() -> dict[str, Any]:
    """Returns the variables of the role that writes Forebay's configuration."""
    specified = ANSIBLE / "roles" / "program" / "meta" / "argument_specs.yml"
    main = yaml.safe_load(specified.read_text())["argument_specs"]["main"]
    options: dict[str, Any] = main["options"]
    return options


def check_chart_values(shown: dict[str, Any]) -> None:
    """Helm takes them beside an address, and every object keeps to its schema."""
    objects = helmed({"publicUrl": "https://a.example", **shown})
    validate(objects.values())
    kinds = {kind for kind, _name in objects}
    assert {"Deployment", "NetworkPolicy", "ConfigMap"} <= kinds
    engines = shown.get("engines", [])
    assert ("StatefulSet" in kinds) == any("gpu" in engine for engine in engines)


def check_prometheus(shown: dict[str, Any], folder: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("needs promtool (Debian: prometheus)")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(shown))
    command = ["promtool", "check", "config", "--syntax-only", str(folder / "prometheus.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@each_of("json")
def test_every_json(example: Example, tmp_path: Path) -> None:
    if example.first.startswith('"pools"'):
        text = f"{{{example.text}}}".replace("…", "http://gpu-1/v1")
        check_engines({"model": json.loads(text)}, tmp_path)
    elif example.first.strip() == "{":
        assert json.loads(example.text)
    else:
        assert [json.loads(line) for line in example.text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_variable_that_a_page_names_is_read(page: Path) -> None:
    named = set(re.findall(r"\bFOREBAY_[A-Z0-9_]*[A-Z0-9]\b(?!_)", page.read_text()))
    named -= {name for name in named if name.startswith("FOREBAY_TEST_")}
    assert named - KNOWN - _PARTS <= _OF_TOOLS


# `FOREBAY_BATCH_*` and the like, and what only tests and the bench read.
_PARTS = {f"FOREBAY_{name}" for name in ("METRICS", "GRPC", "BATCH", "TLS", "KMS")}
_OF_TOOLS = {"FOREBAY_VLLM_URL", "FOREBAY_METRICS_TOKEN"}


def test_what_is_retired_is_named_only_where_it_is_said_that_it_is() -> None:
    pages = [page for page in PAGES if RETIRED & set(re.findall(r"FOREBAY_\w+", page.read_text()))]
    assert {page.name for page in pages} == {"deployment-web.md", "upgrade.md"}


def test_the_file_of_variables_is_one(tmp_path: Path) -> None:
    (shown,) = (each for each in EXAMPLES if each.text.startswith("# /etc/forebay/forebay.env"))
    path = tmp_path / "forebay.env"
    path.write_text(shown.text)
    path.chmod(0o640)
    assert lines.read(str(path))["FOREBAY_PORT"] == "8000"


def test_the_secrets_of_the_kubernetes_page_are_those_that_pods_want() -> None:
    text = (PROJECT / "docs" / "operations" / "kubernetes.md").read_text()
    (made,) = re.findall(r"secret generic forebay \\\n((?:.*--from-literal=.*\n)+)", text)
    secrets = defaults()["secrets"]
    assert re.findall(r"--from-literal=(\w+)=", made) == secrets["keys"]
    for name in ("metrics", "migration"):
        assert f"create secret generic {secrets[name]} " in text


def test_kustomize_is_applied_where_its_files_are() -> None:
    text = (PROJECT / "docs" / "operations" / "kubernetes.md").read_text()
    folders = re.findall(r"kubectl apply -k (\S+)", text)
    assert len(folders) == 2
    for folder in folders:  # the overlay is the reader's copy, beside ours
        assert (PROJECT / folder).parent.is_dir(), folder


def test_every_file_that_a_page_names_is_there() -> None:
    """In backquotes, or as the target of a link."""
    missing = {
        f"{page.relative_to(PROJECT)}: {path}"
        for page in PAGES
        for path in _paths(page.read_text())
        if not any((folder / path).exists() for folder in (PROJECT, page.parent))
    }
    assert missing == set()


def test_no_page_needs_a_client_of_redis_that_an_installation_may_lack() -> None:
    """A server brings its own client; Valkey's is not called as Redis's is."""
    assert [page.name for page in PAGES if "redis-cli" in page.read_text()] == []


@pytest.mark.parametrize("example", sorted(EXAMPLES_OF_NODE), ids=lambda path: path.name)
def test_every_example_for_node_can_be_parsed(example: Path) -> None:
    """`make soak` runs it (tests/e2e/test_node_clients.py), for it needs npm."""
    node = shutil.which("node")
    if not node:
        pytest.skip("needs Node (Debian: nodejs)")
    ended = subprocess.run([node, "--check", example], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def _paths(text: str) -> Iterator[str]:
    tops = "audit|bench|deploy|docs|inference|locale|platform|proto|requirements|tenants|tests"
    yield from re.findall(rf"`((?:{tops})/[\w./@-]*\w/?)`", text)
    yield from re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
