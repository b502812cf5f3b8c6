"""Models, pools and engines alike: found by their names, added, changed, removed."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from config.command.operating.link import Answer, Link, Misuse, Row, Trouble
from config.command.operating.output import Columns, Result, differing, fields, outcome, table

_UNSEEN = ("api_key",)  # nobody is shown it: whether it is another one cannot be told
_STEADY = ("kind", "pool", "model")  # stay as long as the thing does

Wanted = Callable[[Namespace, Row], dict[str, Any]]  # what was typed, over what is there or {}


class Kind(NamedTuple):
    noun: str
    path: str
    columns: Columns
    wanted: Wanted
    needed: tuple[str, ...]  # to add one
    as_shown: Callable[[Row], Row] = dict  # the fields as they are sent

    # Commands --------------------------------------------------------------------------------
    def list(self, link: Link, typed: Namespace) -> Result:
        rows = link.rows(self.path)
        filters = {name: getattr(typed, name, None) for name in ("pool", "model")}
        chosen = {name: value for name, value in filters.items() if value is not None}
        matching = (row for row in rows if all(row.get(n) == v for n, v in chosen.items()))
        return table(matching, self.columns)

    def show(self, link: Link, typed: Namespace) -> Result:
        return fields(self.there(link, typed.name).body)

    def add(self, link: Link, typed: Namespace) -> Result:
        if self.found(link, typed.name):
            raise Trouble(f"{self.noun} {typed.name} is there already: use set, or change")
        return self._added(link, typed)

    def change(self, link: Link, typed: Namespace) -> Result:
        return self._changed(link, typed, self.there(link, typed.name))

    def set(self, link: Link, typed: Namespace) -> Result:
        there = self.found(link, typed.name)
        return self._changed(link, typed, there) if there else self._added(link, typed)

    def remove(self, link: Link, typed: Namespace) -> Result:
        there = self.found(link, typed.name)
        if there is None:
            return outcome(self.noun, typed.name, "unchanged, it is not there", None)
        if typed.dry_run:
            return outcome(self.noun, typed.name, "would be removed", there.body)
        link.send("DELETE", self._path(there.body), etag=there.etag)
        return outcome(self.noun, typed.name, "removed", there.body)

    def switch(self, link: Link, typed: Namespace, *, act: str, field: str, to: bool) -> Result:
        """Runs an act such as `drain`, which makes a field so."""
        row = self.there(link, typed.name).body
        done = {"drain": "draining", "resume": "resumed"}[act]
        if row[field] == to:
            return outcome(self.noun, typed.name, "unchanged", row)
        if typed.dry_run:
            return outcome(self.noun, typed.name, f"would be {done}", row)
        after = link.send("POST", f"{self._path(row)}{act}/", {}).body
        return outcome(self.noun, typed.name, done, after)

    # Steps -----------------------------------------------------------------------------------
    def found(self, link: Link, name: str) -> Answer | None:
        """Returns the one of this name, with its ETag."""
        row = next((row for row in link.rows(self.path, name=name) if row["name"] == name), None)
        return link.get(self._path(row)) if row else None

    def there(self, link: Link, name: str) -> Answer:
        """Raises Trouble."""
        there = self.found(link, name)
        if there is None:
            raise Trouble(f"there is no {self.noun} {name}: `list` shows those that there are")
        return there

    def _path(self, row: Mapping[str, Any]) -> str:
        return f"{self.path}{row['id']}/"

    def _added(self, link: Link, typed: Namespace) -> Result:
        wanted = self.wanted(typed, {})
        if missing := [name for name in self.needed if name not in wanted]:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise Misuse(f"{self.noun} {typed.name} is not there yet: to add it, say {options}")
        body = {"name": typed.name, **wanted}
        if typed.dry_run:
            shown = {name: value for name, value in body.items() if name not in _UNSEEN}
            return outcome(self.noun, typed.name, "would be added", shown)
        return outcome(self.noun, typed.name, "added", link.send("POST", self.path, body).body)

    def _changed(self, link: Link, typed: Namespace, there: Answer) -> Result:
        before = self.as_shown(there.body)
        wanted = self.wanted(typed, before)
        self._refuse_another(typed.name, before, wanted)
        fresh = {n: v for n, v in wanted.items() if n in _UNSEEN or before.get(n) != v}
        if not fresh:
            return outcome(self.noun, typed.name, "unchanged", there.body)
        if typed.dry_run:
            differences = differing(before, fresh)
            return outcome(self.noun, typed.name, "would be changed", there.body, differences)
        after = link.send("PATCH", self._path(there.body), fresh, there.etag).body
        differences = differing({n: before.get(n) for n in fresh}, self.as_shown(after))
        differences += [f"{name}: replaced" for name in _UNSEEN if name in fresh]
        did = "changed" if differences else "unchanged"
        return outcome(self.noun, typed.name, did, after, differences)

    def _refuse_another(self, name: str, before: Row, wanted: dict[str, Any]) -> None:
        """Takes what stays out of `wanted`. Raises Trouble where it should be another."""
        for field in _STEADY:
            value = wanted.pop(field, None)
            if value is not None and before.get(field) != value:
                raise Trouble(
                    f"the {field} of {self.noun} {name} is {before.get(field)}, and stays: remove "
                    f"it and add it anew with {value}"
                )
