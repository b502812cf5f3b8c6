"""Bounds the automaton that a regular expression makes, without building it at full size.

An engine turns the patterns of a JSON schema into a grammar (llama.cpp, xgrammar) or an automaton
(outlines) and follows it token by token. Three things make that slow, and are bounded here:

- its size, with every counted repetition written out;
- the ways in which one token can be read: llama.cpp and xgrammar follow all of them;
- the states of a deterministic automaton, which outlines builds.

Patterns are ECMAScript's, with what Python and Rust add to them.
"""

from collections.abc import Iterator

from inference.validation.pattern_syntax import (
    Alternatives,
    Characters,
    Node,
    Ranges,
    Repetition,
    Sequence,
    WrongPattern,
    parsed,
)

__all__ = ["PatternBudget", "WrongPattern", "check_pattern"]
LONGEST, MOST_GROUPS = 2000, 64  # characters of a pattern, and groups in each other
LARGEST = 4000  # characters of a pattern, with its repetitions written out
MOST_COPIES = 24  # of a repetition in the automaton that is measured: further ones change nothing
TOKEN = 12  # characters: few tokens of letters are longer
MOST_READINGS = 20_000  # of one token
MOST_STATES = 2500
WORK = 25_000  # steps for all patterns of a request: some 50 ms at most


class PatternBudget:
    """The work that checking the patterns of one request may take."""

    def __init__(self, work: int = WORK) -> None:
        self._work = work

    def spend(self, work: int) -> None:
        """Raises WrongPattern."""
        self._work -= work
        if self._work < 0:
            raise WrongPattern("makes too large an automaton, alone or with the others")


def check_pattern(pattern: str, budget: PatternBudget) -> None:
    """Raises WrongPattern; its message continues the words "a pattern"."""
    if len(pattern) > LONGEST or pattern.count("(") > MOST_GROUPS:
        raise WrongPattern(f"must be at most {LONGEST} characters and {MOST_GROUPS} groups")
    budget.spend(len(pattern))
    tree = parsed(pattern)
    if size(tree) > LARGEST:
        raise WrongPattern(f"has over {LARGEST} characters with its repetitions written out")
    automaton = Automaton(tree, budget)
    if automaton.readings() > MOST_READINGS:
        raise WrongPattern("can read the same text in too many ways")
    if not automaton.is_small():
        raise WrongPattern("makes too large an automaton")


def size(node: Node) -> int:
    """Returns the number of characters, with every repetition written out."""
    match node:
        case Characters():
            return 1
        case Sequence(parts) | Alternatives(parts):
            return sum(map(size, parts))
        case Repetition(inner, least, most):
            return size(inner) * max(1, least if most is None else most)


# The automaton -----------------------------------------------------------------------------------
Ways = dict[int, int]  # number of ways to reach each position


class Part:
    """A piece of the automaton: its first and last positions, and its ways to be empty."""

    __slots__ = ("empty", "first", "last")

    def __init__(self, first: Ways, last: Ways, empty: int) -> None:
        self.first, self.last, self.empty = first, last, empty


class Automaton:
    """A Glushkov automaton: one position for each character of the pattern, none merged."""

    def __init__(self, tree: Node, budget: PatternBudget) -> None:
        self._spend = budget.spend
        self._atoms = _Atoms(tree, budget)
        self._holds: list[tuple[int, ...]] = []  # of each position: the atoms of its characters
        self._next: list[Ways] = []
        self._start = self._made(tree).first

    def readings(self) -> int:
        """Returns an upper bound of the ways to read a text of TOKEN characters."""
        ways = [1] * len(self._next)
        for _ in range(TOKEN):
            ways = [self._most(follows, ways) for follows in self._next]
            if max(ways, default=0) > MOST_READINGS:
                return MOST_READINGS + 1
        return self._most(self._start, ways)

    def _most(self, follows: Ways, ways: list[int]) -> int:
        self._spend(len(follows))
        by_atom: dict[int, int] = {}
        for position, count in follows.items():
            for atom in self._holds[position]:
                by_atom[atom] = by_atom.get(atom, 0) + count * ways[position]
        return max(by_atom.values(), default=1)

    def is_small(self) -> bool:
        """Returns whether its deterministic automaton has at most MOST_STATES states."""
        states = {frozenset(self._start)}
        waiting = list(states)
        while waiting:
            by_atom: dict[int, set[int]] = {}
            for position in waiting.pop():
                self._spend(len(self._holds[position]) * (1 + len(self._next[position])))
                for atom in self._holds[position]:
                    by_atom.setdefault(atom, set()).update(self._next[position])
            fresh = {frozenset(state) for state in by_atom.values()} - states
            states |= fresh
            waiting += fresh
            if len(states) > MOST_STATES:
                return False
        return True

    # Making it -----------------------------------------------------------------------------------
    def _made(self, node: Node) -> Part:
        match node:
            case Characters():
                return self._position(node)
            case Sequence(parts):
                return self._in_sequence(self._made(part) for part in parts)
            case Alternatives(parts):
                return _either([self._made(part) for part in parts])
            case Repetition(inner, least, most):
                return self._repeated(inner, least, most)

    def _position(self, node: Characters) -> Part:
        number = len(self._next)
        self._next.append({})
        self._holds.append(self._atoms.of(node))
        return Part({number: 1}, {number: 1}, 0)

    def _in_sequence(self, parts: Iterator[Part]) -> Part:
        whole = Part({}, {}, 1)
        for part in parts:
            self._link(whole.last, part.first)
            self._spend(len(part.first) + len(whole.last))
            if whole.empty:
                _add(whole.first, part.first, whole.empty)
            if part.empty:
                _add(part.last, whole.last, part.empty)
            whole = Part(whole.first, part.last, min(whole.empty * part.empty, MOST_READINGS))
        return whole

    def _repeated(self, inner: Node, least: int, most: int | None) -> Part:
        if most is None:
            copies = [self._made(inner) for _ in range(min(max(least, 1), MOST_COPIES))]
            self._link(copies[-1].last, copies[-1].first)
            if least == 0:
                copies[-1].empty += 1
            return self._in_sequence(iter(copies))
        optional = min(most - least, MOST_COPIES)
        parts = [self._made(inner) for _ in range(min(least, MOST_COPIES) + optional)]
        required = len(parts) - optional
        whole = self._in_sequence(iter(()))
        for part in reversed(parts[required:]):  # (x(x(x)?)?)?
            whole = self._in_sequence(iter((part, whole)))
            whole.empty += 1
        return self._in_sequence(iter((*parts[:required], whole)))

    def _link(self, ends: Ways, begins: Ways) -> None:
        for position, ways in ends.items():
            follows = self._next[position]
            self._spend(len(begins))
            for begin, more in begins.items():
                follows[begin] = min(follows.get(begin, 0) + ways * more, MOST_READINGS)


def _either(parts: list[Part]) -> Part:
    whole = Part({}, {}, 0)
    for part in parts:
        _add(whole.first, part.first)
        _add(whole.last, part.last)
        whole.empty += part.empty
    return whole


def _add(ways: Ways, more: Ways, times: int = 1) -> None:
    for position, count in more.items():
        ways[position] = min(ways.get(position, 0) + count * times, MOST_READINGS)


class _Atoms:
    """The pattern's characters, in groups that it never distinguishes."""

    def __init__(self, tree: Node, budget: PatternBudget) -> None:
        classes = {node.ranges for node in _characters(tree)}
        edges: dict[int, list[tuple[Ranges, bool]]] = {}
        for ranges in classes:
            for low, high in ranges:
                edges.setdefault(low, []).append((ranges, True))
                edges.setdefault(high + 1, []).append((ranges, False))
        self._holds: dict[Ranges, set[int]] = {ranges: set() for ranges in classes}
        self._group(edges, budget)

    def _group(self, edges: dict[int, list[tuple[Ranges, bool]]], budget: PatternBudget) -> None:
        inside, numbers = set[Ranges](), dict[frozenset[Ranges], int]()
        for point in sorted(edges):
            for ranges, begins in edges[point]:
                (inside.add if begins else inside.discard)(ranges)
            budget.spend(1 + len(inside))
            atom = numbers.setdefault(frozenset(inside), len(numbers))
            for ranges in inside:
                self._holds[ranges].add(atom)

    def of(self, node: Characters) -> tuple[int, ...]:
        return tuple(self._holds[node.ranges])


def _characters(node: Node) -> Iterator[Characters]:
    match node:
        case Characters():
            yield node
        case Sequence(parts) | Alternatives(parts):
            for part in parts:
                yield from _characters(part)
        case Repetition(inner):
            yield from _characters(inner)
