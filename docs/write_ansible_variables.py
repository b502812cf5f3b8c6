"""Writes docs/operations/ansible-variables.md from the roles of deploy/ansible.

`python docs/write_ansible_variables.py`. A test compares them (tests/ansible/test_collection.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parent / "operations" / "ansible-variables.md"
ROLES = Path(__file__).parents[1] / "deploy" / "ansible" / "roles"
ORDER = [
    *("forebay", "program", "web", "grpc", "worker", "jobs", "engine"),
    *("postgresql", "valkey", "cluster", "proxy", "monitoring", "backup"),
]
_HEAD = """# Variables of the Ansible roles

<!-- Written by docs/write_ansible_variables.py from deploy/ansible/roles/: change it there. -->

[ansible.md](ansible.md) says what the roles do. Variables of `forebay` hold for every role but
`engine`.
"""


def page() -> str:
    return "\n".join([_HEAD, *(section for role in ORDER for section in _section(role))])


def _section(role: str) -> Iterator[str]:
    options, defaults = read(role, "meta/argument_specs.yml"), read(role, "defaults/main.yml")
    options = options["argument_specs"]["main"]["options"]
    if options:
        rows = [_row(name, option, defaults.get(name)) for name, option in options.items()]
        yield "\n".join([f"## {role}", "", "| variable | default | |", "|---|---|---|", *rows, ""])


def _row(name: str, option: dict[str, Any], default: Any) -> str:
    text = option["description"]
    if choices := option.get("choices"):
        text = f"{text.rstrip('.')}: {', '.join(f'`{each}`' for each in choices)}."
    cell = "required" if option.get("required") else _cell(default)
    return f"| `{name}` | {cell} | {text} |".replace("|  |", "| |")


def _cell(default: Any) -> str:
    """Returns a default as it is written; "" for an empty one, and for one that is computed."""
    if default in (None, "", [], {}) or "{{" in str(default):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{' '.join(map(str, default)) if isinstance(default, list) else default}`"


def read(role: str, file: str) -> dict[str, Any]:
    path = ROLES / role / file
    return yaml.safe_load(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    PAGE.write_text(page())
