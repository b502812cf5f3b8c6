"""python -m tests.counts: how plain and how large the code is, as a report.

Nothing fails here: a fence would teach people to dodge it.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from config.environment import PROJECT

ROOMS = (
    "infrastructure",
    "audit",
    "tenants",
    "inference",
    "platform",
    "trainer",
    "bench",
    "deploy",
)
PARTICIPLES = ("found", "told", "said", "asked", "given", "kept", "stood", "left")
OPENINGS = {
    "preposition": "of with by for in on at to from as without beside behind before after about "
    "under over until since than instead through within",
    "wh-word": "what who whom whose which how where when while whether why",
    "conjunction": "and or but so if unless though because",
}
NOT_WRITTEN = re.compile(r"/migrations/|_pb2(_grpc)?\.py$|/\.venv")
MOST_MODULES = 20


def sources(room: str) -> Iterator[Path]:
    """Returns the modules that a person wrote."""
    paths = sorted((PROJECT / room).rglob("*.py"))
    return (path for path in paths if not NOT_WRITTEN.search(str(path)))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def bound(function: ast.AST) -> set[str]:
    """Returns the names that a function assigns, without those of functions inside it."""
    names, rest = set[str](), list(ast.iter_child_nodes(function))
    while rest:
        node = rest.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        rest += ast.iter_child_nodes(node)
    return names


def docstrings(tree: ast.AST) -> Iterator[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text


def opening(docstring: str) -> str:
    """Returns the kind of its first word, "" for a plain one."""
    word = re.split(r"\W", docstring.strip().lower(), maxsplit=1)[0]
    return next((kind for kind, words in OPENINGS.items() if word in words.split()), "")


def attributes(cls: ast.ClassDef) -> int:
    """Returns how many attributes its methods set on `self`."""
    return len(
        {
            node.attr
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }
    )


def report() -> Iterator[str]:
    lines, words, openings, texts = Counter[str](), Counter[str](), Counter[str](), 0
    functions_with_participles, wide = 0, list[tuple[int, str]]()
    for room in ROOMS:
        for path in sources(room):
            text = path.read_text()
            tree = ast.parse(text)
            lines[room] += len(text.splitlines())
            for function in functions(tree):
                here = bound(function) & set(PARTICIPLES)
                words.update(here)
                functions_with_participles += bool(here)
            for docstring in docstrings(tree):
                texts += 1
                openings[opening(docstring)] += 1
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and (count := attributes(node)) > 15:
                    wide.append((count, f"{path.relative_to(PROJECT)}: {node.name}"))
    yield f"lines of Python: {sum(lines.values())}: {dict(lines)}"
    yield f"functions that bind a participle: {functions_with_participles}: {dict(words)}"
    odd = texts - openings[""]
    yield f"docstrings that open oddly: {odd} of {texts}, {odd / texts:.1%}: {dict(openings)}"
    yield f"words of docs/: {sum(len(p.read_text().split()) for p in _pages())}"
    yield from (f"{count} modules: {folder}" for folder, count in _full_folders())
    yield from (f"{count} attributes: {where}" for count, where in sorted(wide, reverse=True))


def _pages() -> Iterator[Path]:
    return (PROJECT / "docs").rglob("*.md")


def _full_folders() -> list[tuple[Path, int]]:
    folders = Counter(
        path.parent.relative_to(PROJECT)
        for room in ROOMS
        for path in sources(room)
        if path.name != "__init__.py"
    )
    return [(folder, n) for folder, n in folders.most_common() if n > MOST_MODULES]


if __name__ == "__main__":
    print(*report(), sep="\n")
