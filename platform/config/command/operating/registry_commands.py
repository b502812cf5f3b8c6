"""The commands that models, pools and engines share: list, show, add, change, set, remove.

Each is addressed by its name.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from config.command.operating.api_client import Answer, Link, Misuse, Row, Trouble
from config.command.operating.output import Columns, Result, differing, fields, outcome, table

_UNSEEN = ("api_key",)  # the API never shows it: whether it has changed is unknown
_STEADY = ("kind", "pool", "model")  # cannot be changed

# From what was typed and the present row, or {}: the fields to send.
Wanted = Callable[[Namespace, Row], dict[str, Any]]


class Kind(NamedTuple):
    noun: str
    path: str
    columns: Columns
    wanted: Wanted
    needed: tuple[str, ...]  # to add one
    as_shown: Callable[[Row], Row] = dict  # from a row: its fields as they would be sent

    # Commands --------------------------------------------------------------------------------
    def list(self, link: Link, typed: Namespace) -> Result:
        rows = link.rows(self.path)
        filters = {name: getattr(typed, name, None) for name in ("pool", "model")}
        chosen = {name: value for name, value in filters.items() if value is not None}
        matching = (row for row in rows if all(row.get(n) == v for n, v in chosen.items()))
        return table(matching, self.columns)

    def show(self, link: Link, typed: Namespace) -> Result:
        return fields(self.require(link, typed.name).body)

    def add(self, link: Link, typed: Namespace) -> Result:
        if self.find(link, typed.name):
            raise Trouble(f"{self.noun} {typed.name} is there already: use set, or change")
        return self._add(link, typed)

    def change(self, link: Link, typed: Namespace) -> Result:
        return self._change_fields(link, typed, self.require(link, typed.name))

    def set(self, link: Link, typed: Namespace) -> Result:
        present = self.find(link, typed.name)
        return self._change_fields(link, typed, present) if present else self._add(link, typed)

    def remove(self, link: Link, typed: Namespace) -> Result:
        present = self.find(link, typed.name)
        if present is None:
            return outcome(self.noun, typed.name, "unchanged, it is not there", None)
        if typed.dry_run:
            return outcome(self.noun, typed.name, "would be removed", present.body)
        link.send("DELETE", self._path(present.body), etag=present.etag)
        return outcome(self.noun, typed.name, "removed", present.body)

    def switch(self, link: Link, typed: Namespace, *, act: str, field: str, to: bool) -> Result:
        """Run an act such as `drain`, which sets `field` to `to`."""
        row = self.require(link, typed.name).body
        done = {"drain": "draining", "resume": "resumed"}[act]
        if row[field] == to:
            return outcome(self.noun, typed.name, "unchanged", row)
        if typed.dry_run:
            return outcome(self.noun, typed.name, f"would be {done}", row)
        after = link.send("POST", f"{self._path(row)}{act}/", {}).body
        return outcome(self.noun, typed.name, done, after)

    # Steps -----------------------------------------------------------------------------------
    def find(self, link: Link, name: str) -> Answer | None:
        """Returns the row of this name and its ETag, None if there is none."""
        row = next((row for row in link.rows(self.path, name=name) if row["name"] == name), None)
        return link.get(self._path(row)) if row else None

    def require(self, link: Link, name: str) -> Answer:
        """Returns the row of this name and its ETag. Raises Trouble if there is none."""
        present = self.find(link, name)
        if present is None:
            raise Trouble(f"there is no {self.noun} {name}: `list` shows those that there are")
        return present

    def _path(self, row: Mapping[str, Any]) -> str:
        return f"{self.path}{row['id']}/"

    def _add(self, link: Link, typed: Namespace) -> Result:
        wanted = self.wanted(typed, {})
        if missing := [name for name in self.needed if name not in wanted]:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise Misuse(f"{self.noun} {typed.name} is not there yet: to add it, say {options}")
        body = {"name": typed.name, **wanted}
        if typed.dry_run:
            shown = {name: value for name, value in body.items() if name not in _UNSEEN}
            return outcome(self.noun, typed.name, "would be added", shown)
        return outcome(self.noun, typed.name, "added", link.send("POST", self.path, body).body)

    def _change_fields(self, link: Link, typed: Namespace, present: Answer) -> Result:
        before = self.as_shown(present.body)
        wanted = self.wanted(typed, before)
        self._refuse_another(typed.name, before, wanted)
        fresh = {n: v for n, v in wanted.items() if n in _UNSEEN or before.get(n) != v}
        if not fresh:
            return outcome(self.noun, typed.name, "unchanged", present.body)
        if typed.dry_run:
            differences = differing(before, fresh)
            return outcome(self.noun, typed.name, "would be changed", present.body, differences)
        after = link.send("PATCH", self._path(present.body), fresh, present.etag).body
        differences = differing({n: before.get(n) for n in fresh}, self.as_shown(after))
        differences += [f"{name}: replaced" for name in _UNSEEN if name in fresh]
        did = "changed" if differences else "unchanged"
        return outcome(self.noun, typed.name, did, after, differences)

    def _refuse_another(self, name: str, before: Row, wanted: dict[str, Any]) -> None:
        """Remove the fields that cannot change from `wanted`.

        Raises Trouble for one that differs.
        """
        for field in _STEADY:
            value = wanted.pop(field, None)
            if value is not None and before.get(field) != value:
                raise Trouble(
                    f"the {field} of {self.noun} {name} is {before.get(field)}, and stays: remove "
                    f"it and add it anew with {value}"
                )
