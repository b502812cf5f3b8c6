"""What an object may have in place of a plain value: what an operator sets, here or in the chart.

Each of them is known twice: `of(scope)` is its value in Python, for Kustomize, and `template` what
the chart says. Where a template needs more than a look-up, both stand side by side, and a test
compares what Helm makes of the one with the other.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Any  # a plain value, or a mapping or list with words in it
Scope = Mapping[str, Any]  # the values, and `engine` inside Each
NOTHING = object()


class Word:
    def of(self, scope: Scope) -> Any:
        raise NotImplementedError

    @property
    def template(self) -> str:
        """Without braces."""
        raise NotImplementedError


@dataclass(frozen=True)
class Value(Word):
    """What values.yaml has at `path`; with `item`, what the engine of an Each has there."""

    path: str
    item: bool = False

    def of(self, scope: Scope) -> Any:
        found: Any = scope["engine"] if self.item else scope
        for name in self.path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    @property
    def template(self) -> str:
        if not self.item:
            return f"$.Values.{self.path}"
        above, _, last = f"$engine.{self.path}".rpartition(".")
        # In brackets what is not there is nothing; without them its parts would be an error.
        return f"({above}).{last}" if above.count(".") > 1 else f"{above}.{last}"


@dataclass(frozen=True)
class Reckoned(Word):
    said: str
    reckon: Callable[[Scope], Any]

    @property
    def template(self) -> str:
        return self.said

    def of(self, scope: Scope) -> Any:
        return self.reckon(scope)


@dataclass(frozen=True)
class Joined(Word):
    """Text with values in it, as a string in quotes."""

    parts: tuple[str | Word, ...]

    def of(self, scope: Scope) -> str:
        return "".join(str(p.of(scope)) if isinstance(p, Word) else p for p in self.parts)

    @property
    def template(self) -> str:
        """With braces: text around them."""
        return "".join(
            f"{{{{ {p.template} }}}}" if isinstance(p, Word) else json.dumps(p)[1:-1]
            for p in self.parts
        )


@dataclass(frozen=True)
class Whole:
    """A mapping or list as an operator wrote it; in a list or mapping of ours its entries go on."""

    value: Word


@dataclass(frozen=True)
class When:
    """An entry that is there while `condition` is true (not empty, not 0)."""

    condition: Word
    node: Node


@dataclass(frozen=True)
class Each:
    """An object for each of the engines that have `kind`."""

    kind: str
    node: Node


@dataclass(frozen=True)
class Times:
    """An item of a list for each name in the list at `names`, which NAME stands for; with a Spread
    as key entries of a mapping.
    """

    names: Word
    node: Node


NAME = Reckoned("$name", lambda scope: scope["name"])
IN_CHART = Reckoned("true", lambda scope: False)
RELEASE = Reckoned("$.Release.Name", lambda scope: "forebay")


def value(path: str) -> Value:
    return Value(path)


def own(path: str) -> Value:
    """Of the engine that an Each is at."""
    return Value(path, item=True)


def joined(*parts: str | Word) -> Joined:
    return Joined(parts)


def named(*parts: str | Word) -> Joined:
    """The release's name before it: `forebay-web`."""
    return Joined((RELEASE, "-", *parts))


def plain(node: Node, scope: Scope) -> Any:
    """The object without words. NOTHING where a When is false."""
    if isinstance(node, When):
        return plain(node.node, scope) if node.condition.of(scope) else NOTHING
    if isinstance(node, Whole):
        return node.value.of(scope) or NOTHING
    if isinstance(node, Word):
        return node.of(scope)
    if isinstance(node, Mapping):
        return dict(_entries(node, scope))
    if isinstance(node, list):
        return list(_items(node, scope))
    return node


def _entries(node: Mapping[Any, Node], scope: Scope) -> Iterator[tuple[str, Any]]:
    for name, each in node.items():
        if isinstance(each, Times):
            for one in each.names.of(scope) or ():
                yield from _entries(each.node, {**scope, "name": one})
            continue
        found = plain(each, scope)
        if found is NOTHING:
            continue
        if isinstance(name, Spread):
            yield from found.items()
        else:
            yield str(plain(name, scope)), found


def _items(node: list[Node], scope: Scope) -> Iterator[Any]:
    for each in node:
        if isinstance(each, Times):
            named_ones = ({**scope, "name": name} for name in each.names.of(scope) or ())
            every = [plain(each.node, one) for one in named_ones]
            yield from (one for one in every if one is not NOTHING)
            continue
        found = plain(each, scope)
        if found is NOTHING:
            continue
        if isinstance(each, Whole):
            yield from found
        else:
            yield found


@dataclass(frozen=True)
class Spread:
    """As a key: the entries of its Whole or Times stand beside the other keys."""

    number: int = 1
