"""The tables of folders in docs/architecture.md have the order that import-linter enforces."""

import re
import tomllib

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("app", ["audit", "tenants", "inference"])
def test_a_folder_stands_above_those_that_it_may_import(app: str) -> None:
    """A folder without a layer of its own, such as offline/, may stand anywhere."""
    layer_of = layers(app)
    order = [layer_of[folder] for folder in folders(app) if folder in layer_of]
    assert order == sorted(order)
    assert len(set(order)) >= 3


def layers(app: str) -> dict[str, int]:
    """Returns the layer of each folder, 0 for the topmost, from the contract of the app."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in contracts["contracts"] if one["name"].startswith(f"{app}: "))
    return {
        name.removeprefix(f"{app}."): number
        for number, layer in enumerate(contract["layers"])
        for name in re.split(r" [:|] ", layer)
    }


def folders(app: str) -> list[str]:
    """Returns the first folder of each path in the table of the app, from top to bottom."""
    page = (PROJECT / "docs" / "architecture.md").read_text()
    table = page.split(f"| `{app}/` | |\n|---|---|\n")[1].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()]
    return [path.split("/")[0] for cell in cells for path in re.findall(r"`([\w/]+/)`", cell)]
