"""Rows that a tenant has and that commands call by name: aliases, data sets and the like."""

import base64
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from config.command.operating.api_client import ApiClient, Misuse, Row, Trouble
from config.command.operating.program import Result, outcome

PIECE = 700_000  # bytes of a file in one call
LOOK_EVERY_S = 1.0


def add_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="NAME", help="by default the key's own")


def add_name(parser: ArgumentParser) -> None:
    add_tenant(parser)
    parser.add_argument("name")


def tenant_path(tenant: str, kind: str) -> str:
    return f"tenants/{quote(tenant, safe='')}/{kind}/"


class Collection:
    """`path` is that of the rows, and `noun` what people call one of them."""

    def __init__(self, link: ApiClient, path: str, noun: str) -> None:
        self.link, self.path, self._noun = link, path, noun

    @classmethod
    def of_tenant(cls, link: ApiClient, tenant: str | None, kind: str, noun: str) -> "Collection":
        """Returns those of a tenant, by default that of the key. Raises Misuse if it has none."""
        if not tenant:
            tenants = list(link.rows("tenants/"))
            if len(tenants) != 1:
                raise Misuse("say --tenant: the key has no tenant of its own")
            tenant = tenants[0]["name"]
        return cls(link, tenant_path(tenant, kind), noun)

    def find(self, name: str) -> Row | None:
        return next(iter(self.link.rows(self.path, name=name)), None)

    def row(self, name: str) -> Row:
        """Raises Trouble if there is none."""
        if row := self.find(name):
            return row
        raise Trouble(f"there is no {self._noun} {name}: `list` shows those that there are")

    def row_path(self, name: str) -> str:
        return self.path_of(self.row(name))

    def path_of(self, row: Row) -> str:
        return f"{self.path}{row['id']}/"

    def add(self, **body: object) -> Row:
        row: Row = self.link.send("POST", self.path, body).body
        return row

    def remove(self, name: str, path: str, *, dry_run: bool) -> Result:
        """Remove the row at a path."""
        present = self.link.get(path)
        if not dry_run:
            self.link.send("DELETE", path, etag=present.etag)
        did = "would be removed" if dry_run else "removed"
        return outcome(self._noun, name, did, present.body)

    def remove_if_any(self, name: str, *, dry_run: bool) -> Result:
        if row := self.find(name):
            return self.remove(name, self.path_of(row), dry_run=dry_run)
        return outcome(self._noun, name, "unchanged, there is none", None)


# Files --------------------------------------------------------------------------------------------
def upload(link: ApiClient, path: str, file: Path) -> Row:
    """Send the content of a new row piece by piece. Returns the row, which is read then."""
    for number, content in enumerate(_pieces(file)):
        body = {"number": number, "content": base64.b64encode(content).decode()}
        link.send("POST", f"{path}pieces/", body)
    finished: Row = link.send("POST", f"{path}finish/", {}).body
    return finished


def wait(link: ApiClient, path: str, while_it_is: Sequence[str], name: str = "it") -> Row:
    """Returns the row once it is ready. Raises Trouble if it cannot be used."""
    while (row := link.get(path).body)["state"] in while_it_is:
        time.sleep(LOOK_EVERY_S)
    if row["state"] != "ready":
        raise Trouble(f"{name} is {row['state']}: {row['problem']}")
    return dict(row)


def size_of(file: Path) -> int:
    """Raises Misuse."""
    try:
        return file.stat().st_size
    except OSError as problem:
        raise Misuse(f"{file}: {problem.strerror}") from None


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece
