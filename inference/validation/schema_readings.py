"""Bounds the ways that an engine may have to follow at once to read a text by a schema.

llama.cpp keeps a stack for each way in which a text can go on. It follows alternatives that begin
alike (arrays in a union, objects without a field that tells them apart) side by side, and all
schemas below them: three such arrays in each other triple the stacks with each bracket.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from inference.errors import BadRequest
from inference.validation.schema_bounds import Body, Target, listed, own_choices, required

MOST_HOPS = 9
MOST_NODES = 1000  # that hold others, in a schema with alternatives that begin alike
MOST_MARKS = 100_000  # names and values of alternatives: what tells them apart is compared
ROUNDS = 12  # of a schema that leads back to itself: what doubles each time is 4096 by then
_BEGINS = {"string": "s", "integer": "n", "number": "n", "object": "o", "array": "a"}
_OF_STRINGS = ("pattern", "minLength", "maxLength", "format")
_OF_OBJECTS = ("properties", "additionalProperties")
_OF_ARRAYS = ("items", "prefixItems")
_UNIONS = ("anyOf", "oneOf")
_HOLDING = frozenset((*_OF_OBJECTS, *_OF_ARRAYS, *_UNIONS, "allOf"))


@dataclass(slots=True)
class Ways:
    """The ways to read a place: all of `nodes` at once, and one of `either` beside them."""

    nodes: list[int] = field(default_factory=list)
    either: list["Ways"] = field(default_factory=list)

    def count(self, states: dict[int, int]) -> int:
        most = 0
        for ways in self.either:
            count = ways.count(states) if ways.either else sum(map(states.__getitem__, ways.nodes))
            most = max(most, count)
        return sum(map(states.__getitem__, self.nodes)) + most


class Beginning(NamedTuple):
    """How the values of a schema begin, and whether it holds others."""

    letters: set[str]  # for first characters; none for any
    names: list[str]  # of an object; none for any
    holds: bool


def check_readings(name: str, root: Any, target: Target, most: int) -> None:
    """Raises BadRequest where a text may be read in more than `most` ways at once."""
    if not isinstance(root, dict):
        return
    schema = _Schema(target)
    schema.add(root)
    if excess := schema.excess:
        raise BadRequest(f"`{name}` is too large: {excess}", param=name)
    if schema.is_ambiguous and not _settles(schema, most):
        what = "alternatives that begin alike hold each other"
        advice = "give each a required first property with a `const` of its own"
        raise BadRequest(f"in `{name}` {what}: {advice}", param=name)


def _settles(schema: "_Schema", most: int) -> bool:
    """Returns whether no node has more than `most` ways, also where the schema holds itself."""
    states, ways = dict(schema.widths), list(reversed(schema.ways.items()))
    for _ in range(ROUNDS):
        changed = False
        for node, way in ways:
            count = max(schema.widths[node], way.count(states))
            if count > most:
                return False
            changed |= count != states[node]
            states[node] = count
        if not changed:
            break
    return True


class _Schema:
    """The objects of a schema by id, and how each is read."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.ways: dict[int, Ways] = {}  # of those that hold others
        self.widths: dict[int, int] = {}
        self.is_ambiguous = False
        # By the id of a schema, which many references may lead to.
        self._beginnings: dict[int, Beginning] = {}
        self._values: dict[int, set[bytes]] = {}
        self._marks = 0

    @property
    def excess(self) -> str:
        """Returns what there is too much of, in words for the reader; "" for nothing."""
        if self._marks > MOST_MARKS:
            return f"its alternatives have more than {MOST_MARKS} names and values"
        if self.is_ambiguous and len(self.ways) > MOST_NODES:
            return f"more than {MOST_NODES} schemas hold others, and some begin alike"
        return ""

    def add(self, root: Body) -> None:
        waiting = [self._resolved(root)]
        for node in waiting:
            if id(node) in self.widths:
                continue
            if self.excess:
                return
            self.widths[id(node)] = own_choices(node)
            if not _HOLDING.isdisjoint(node):
                waiting += self._read(node)

    def _read(self, node: Body) -> list[Body]:
        listed_there = [each for word in _UNIONS for each in _dicts(listed(node, word))]
        if alternatives := list(map(self._resolved, listed_there)):
            self.ways[id(node)] = self._union(alternatives)
            return alternatives
        inner = [self._resolved(each) for each in _inside(node)]
        self.ways[id(node)] = Ways(either=[Ways([id(each)]) for each in inner])
        return inner

    def _resolved(self, node: Body) -> Body:
        """Returns the schema behind references, and behind an `allOf` of one."""
        for _ in range(MOST_HOPS):
            if "$ref" not in node and "allOf" not in node:
                break
            ref, parts = node.get("$ref"), listed(node, "allOf")
            schema = self._target(ref) if isinstance(ref, str) else None
            if len(node) == len(parts) == 1:
                schema = parts[0]
            if not isinstance(schema, dict):
                break
            node = schema
        return node

    # Unions ---------------------------------------------------------------------------------------
    def _union(self, alternatives: list[Body]) -> Ways:
        """Groups by first character; objects also by their first property and its values."""
        kinds: dict[str, Ways] = {}
        everywhere: list[int] = []
        objects: list[Body] = []
        for each in alternatives:
            begins = self._beginning(each).letters
            if not begins:
                everywhere.append(id(each))
            elif "o" in begins:
                objects.append(each)
            for kind in begins - {"o"}:
                kinds.setdefault(kind, Ways()).nodes.append(id(each))
        ways = Ways(everywhere, [*kinds.values(), self._objects(objects)])
        holding = {id(each): int(self._beginning(each).holds) for each in alternatives}
        self.is_ambiguous |= ways.count(holding) > 1
        return ways

    def _beginning(self, node: Body) -> Beginning:
        known = self._beginnings.get(id(node))
        if known is None:
            known = Beginning(_begins(node), _first_names(node), not _HOLDING.isdisjoint(node))
            self._beginnings[id(node)] = known
        return known

    def _objects(self, objects: list[Body]) -> Ways:
        if len(objects) == 1:  # there is nothing to tell it from
            return Ways([id(objects[0])])
        alike: list[int] = []
        names: dict[str, tuple[Ways, dict[bytes, Ways]]] = {}
        for each in objects:
            first = self._beginning(each).names
            if not first:
                alike.append(id(each))
            for name in first:
                of_name, of_values = names.setdefault(name, (Ways(), {}))
                values = self._values_of(each["properties"][name])
                self._marks += 1 + len(values)
                if not values:
                    of_name.nodes.append(id(each))
                for value in values:
                    of_values.setdefault(value, Ways()).nodes.append(id(each))
        either = [Ways(ways.nodes, list(values.values())) for ways, values in names.values()]
        return Ways(alike, either)

    def _values_of(self, schema: Any) -> set[bytes]:
        """Returns the values of a `const` or an `enum`, as JSON."""
        if not isinstance(schema, dict):
            return set()
        schema = self._resolved(schema)
        if id(schema) not in self._values:
            values = [schema["const"]] if "const" in schema else listed(schema, "enum")
            self._values[id(schema)] = {orjson.dumps(each) for each in values}
        return self._values[id(schema)]


def _first_names(node: Body) -> list[str]:
    """Returns the names that an object may begin with; none for any.

    Required properties come first, in the order of `properties`.
    """
    properties, needed = node.get("properties"), required(node)
    if not isinstance(properties, dict):
        return []
    for name in properties:
        if name in needed:
            return [name]
    return [] if node.get("additionalProperties") else list(properties)


def _begins(node: Body) -> set[str]:
    """Returns letters for the characters that its values begin with; none for any."""
    if "const" in node or listed(node, "enum"):
        values = [node["const"]] if "const" in node else node["enum"]
        return {_letter(value) for value in values}
    kinds = node.get("type")
    if isinstance(kinds, str) or (isinstance(kinds, list) and kinds):
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return {_BEGINS.get(kind, "l") for kind in kinds if isinstance(kind, str)}
    marks = ((_OF_OBJECTS, "o"), (_OF_ARRAYS, "a"), (_OF_STRINGS, "s"))
    return {letter for words, letter in marks if any(word in node for word in words)}


def _letter(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "l"
    kinds: tuple[tuple[type, str], ...] = ((str, "s"), (dict, "o"), (list, "a"))
    return next((letter for kind, letter in kinds if isinstance(value, kind)), "n")


def _inside(node: Body) -> Iterator[Body]:
    properties = node.get("properties")
    yield from _dicts([node.get("items"), node.get("additionalProperties")])
    yield from _dicts(list(properties.values()) if isinstance(properties, dict) else [])
    yield from _dicts(listed(node, "allOf") + listed(node, "prefixItems"))


def _dicts(values: list[Any]) -> Iterator[Body]:
    return (value for value in values if isinstance(value, dict))
