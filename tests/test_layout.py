"""The layout holds: nothing shadows the standard library, and imports go one way."""

import ast
import importlib
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from django.apps import apps

from inference.engines import KINDS
from inference.engines.base import Engine

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "config": PROJECT / "platform" / "config",
    "console": PROJECT / "platform" / "console",
    "tenants": PROJECT / "tenants",
    "inference": PROJECT / "inference",
    "audit": PROJECT / "audit",
    "infrastructure": PROJECT / "infrastructure",
    "trainer": PROJECT / "trainer",
}
FOREBAY = {*PACKAGES, "django", "bench"} - {"trainer"}
PYTORCH = {"torch", "transformers", "peft", "accelerate"}
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "services", "service", "managers", "manager"}
EMPTY_WORDS |= {"common", "misc", "base_classes", "stuff"}


def test_the_standard_librarys_platform_is_not_shadowed() -> None:
    assert platform.python_version() == sys.version.split()[0]
    assert Path(str(platform.__file__)).parent == Path(sysconfig.get_path("stdlib"))


def test_platform_is_a_folder_and_no_package() -> None:
    assert [found.name for found in (PROJECT / "platform").glob("*.py")] == []


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_each_package_is_this_trees(name: str) -> None:
    (place,) = importlib.import_module(name).__path__
    assert Path(place).resolve() == PACKAGES[name]


def test_imports_go_one_way() -> None:
    told = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Imports go one way" in told.stdout


LAYERS = ("infrastructure", "audit", "tenants", "inference")
MAY_LOOK_UP = {
    # A default that tenants' SQL replaces could, in between, let a month go too early.
    "audit/sql/5_retention.sql": {"tenants_tenant"},
    # The table has had its name since 0.1.0, whose processes may run beside these.
    "infrastructure/postgres/schema_release.py": {"tenants_schemarelease"},
}


@pytest.mark.parametrize("app", LAYERS[:-1])
def test_no_app_names_a_table_or_a_model_of_one_above_it(app: str) -> None:
    """Import-linter sees imports; names in strings and in SQL tie apps together as well."""
    apps_above = LAYERS[LAYERS.index(app) + 1 :]
    models = [
        model._meta for name in apps_above for model in apps.get_app_config(name).get_models()
    ]
    names = {meta.db_table for meta in models} | {meta.label for meta in models}
    for path in PACKAGES[app].rglob("*"):
        if path.suffix not in (".py", ".sql", ".lua") or "migrations" in path.parts:
            continue
        said = set(re.findall(r"[A-Za-z_]+(?:\.[A-Za-z_]+)?", _strings(path)))
        allowed = MAY_LOOK_UP.get(str(path.relative_to(PROJECT)), set())
        assert not said & names - allowed, path


def _above(app: str) -> tuple[str, ...]:
    return LAYERS[LAYERS.index(app) + 1 :]


def _strings(path: Path) -> str:
    """All of SQL and Lua; of Python the strings that are no docstrings."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs]
    return "\n".join(n.value for n in found if isinstance(n.value, str))


@pytest.mark.parametrize("name", ["infrastructure", "audit"])
def test_the_bottom_packages_know_nobody_above(name: str) -> None:
    """Import-linter does not look under `if TYPE_CHECKING` and into functions."""
    above = {"tenants", "inference", "config", "console", "audit"} - {name}
    for path in PACKAGES[name].rglob("*.py"):
        assert not {module.split(".")[0] for module in _imported(path)} & above, path


def test_the_trainer_knows_nothing_of_forebay_and_django() -> None:
    for path in PACKAGES["trainer"].rglob("*.py"):
        assert not {module.split(".")[0] for module in _imported(path)} & FOREBAY, path


@pytest.mark.parametrize("name", sorted({*PACKAGES} - {"trainer"}))
def test_nobody_imports_the_trainer(name: str) -> None:
    for path in PACKAGES[name].rglob("*.py"):
        assert "trainer" not in {module.split(".")[0] for module in _imported(path)}, path


def test_formats_and_data_need_no_pytorch() -> None:
    trainer = PACKAGES["trainer"]
    paths = [*trainer.glob("*.py"), *(trainer / "formats").rglob("*.py")]
    for path in [*paths, *(trainer / "data").rglob("*.py")]:
        assert not {module.split(".")[0] for module in _imported(path)} & PYTORCH, path


def _imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def test_modules_are_named_for_what_they_are() -> None:
    modules = [path for place in PACKAGES.values() for path in place.rglob("*.py")]
    assert len(modules) > 50
    assert [str(path) for path in modules if path.stem in EMPTY_WORDS] == []


def test_every_kind_of_engine_has_its_own_file() -> None:
    places = {kind: sys.modules[engine.__module__].__file__ for kind, engine in KINDS.items()}
    assert len(set(places.values())) == len(KINDS)
    for kind, engine in KINDS.items():
        assert issubclass(engine, Engine)
        assert Path(str(places[kind])) == PACKAGES["inference"] / "engines" / "kinds" / f"{kind}.py"


def test_every_script_of_the_queue_is_loaded_from_its_file() -> None:
    from inference.queue import fair_queue

    folder = PACKAGES["inference"] / "queue"
    names = (name.lower().strip("_") for name in vars(fair_queue))
    loaded = {name for name in names if (folder / f"{name}.lua").exists()}
    assert {path.stem for path in folder.glob("*.lua")} <= loaded
