"""Shell commands in README and docs, as a reader would copy them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from config.environment import PROJECT

PAGES = [
    *(PROJECT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
    *(PROJECT / folder / "README.md" for folder in ("locale", "requirements", "tests")),
]
# First words of a command line; what stands in a block without any of them is no shell.
PROGRAMS = set(
    shlex.split("""
    .venv-train/bin/lm_eval .venv-train/bin/pip
    ansible-playbook .venv/bin/pip .venv/bin/pre-commit .venv/bin/python .venv/bin/pytest apt-get
    cat cd celery chmod chown cp createdb curl docker export forebay git grpcurl haproxy helm
    install journalctl kubectl kill ls lsof make manage.py mkdir mv nvidia-smi
    openapi-python-client openssl pg_basebackup pg_dump pg_restore pip podman promtool psql pytest
    python python3 redis-cli rm sh ss ssh sudo systemctl tar useradd valkey-cli vllm
    """)
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True)
class Command:
    page: str
    text: str  # one line: what was broken by a backslash is joined

    @property
    def program(self) -> str:
        words = [word for word in self.text.split() if not _VARIABLE.match(word)]
        return _program(words[0]) if words else ""


def commands() -> list[Command]:
    return [
        command
        for page in PAGES
        for command in of_text(str(page.relative_to(PROJECT)), page.read_text())
    ]


def of_text(name: str, text: str) -> Iterator[Command]:
    for language, lines in _blocks(text.splitlines()):
        if language not in ("", "sh", "bash", "console", "shell"):
            continue
        found = [Command(name, text) for text in _joined(lines)]
        if any(command.program in PROGRAMS for command in found):
            yield from (command for command in found if command.program)


def _blocks(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Language and lines of each; an indented one has no language."""
    fence, block, after_blank = None, list[str](), True
    for line in [*lines, ""]:
        stripped = line.strip()
        if fence is not None:
            if stripped.startswith("```"):
                yield fence, block
                fence, block = None, []
            else:
                block.append(line)
        elif stripped.startswith("```"):
            yield "", block
            fence, block = stripped.removeprefix("```"), []
        elif line.startswith("    ") and (block or after_blank):
            block.append(line)
        elif block:
            yield "", block
            block = []
        after_blank = not stripped


def _joined(lines: list[str]) -> Iterator[str]:
    """Logical lines, without comments and prompts."""
    text = ""
    for line in lines:
        piece = re.sub(r"(^|\s)# .*$", "", line).strip().removeprefix("$ ")
        text = f"{text} {piece}".strip()
        if text.endswith("\\"):
            text = text[:-1].strip()
        elif text.count("'") % 2 == 0:
            if text:
                yield text
            text = ""
    if text:
        yield text


def _program(word: str) -> str:
    return word.rpartition("/")[2] if word.startswith(("/opt/", "/usr/")) else word
