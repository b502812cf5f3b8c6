"""Lists of people to invite: pasted addresses, or CSV with an address, a role and a team."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parseaddr

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MOST = 200  # people of one list
COLUMNS = ("email", "role", "team")
_HEADINGS = {
    "email": ("email", "e-mail", "email address", "邮箱", "电子邮件", "邮箱地址"),
    "role": ("role", "角色"),
    "team": ("team", "团队"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A person as the list names them. An empty role or team is that of the form."""

    line: int
    email: str
    role: str = ""
    team: str = ""


def entries(text: str) -> list[Entry]:
    """Returns the entries of a list. Raises ValidationError for one that has none or too many."""
    try:
        parsed = list(_entries(text))
    except csv.Error:
        raise ValidationError(_("This is not a CSV file.")) from None
    if not parsed:
        raise ValidationError(_("Name at least one person."))
    if len(parsed) > MOST:
        raise ValidationError(_("Invite at most %(most)s people at once.") % {"most": MOST})
    return parsed


def decoded(content: bytes) -> str:
    """Returns the text of a CSV file: UTF-8, or what a Chinese Excel writes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030", errors="replace")


def _entries(text: str) -> Iterator[Entry]:
    reader = csv.reader(
        text.splitlines(keepends=True), delimiter=_delimiter(text), skipinitialspace=True
    )
    columns = list(COLUMNS)
    for fields in reader:
        row = [field.strip() for field in fields]
        if not any(row):
            continue
        if reader.line_num == 1 and (headings := _columns(row)):
            columns = headings
        elif sum("@" in field for field in row) > 1:
            yield from (Entry(reader.line_num, _address(each)) for each in row if each)
        else:
            named = dict(zip(columns, row, strict=False))
            email = _address(named.get("email", ""))
            yield Entry(reader.line_num, email, named.get("role", ""), named.get("team", ""))


def _delimiter(text: str) -> str:
    """Returns the sign that the first line has most of, a comma where it has none."""
    first = text.strip().partition("\n")[0]
    return max(",;\t", key=first.count)


def _columns(row: list[str]) -> list[str]:
    """Returns the columns that a first line names, [] where it is a person's."""
    names = {word: name for name, words in _HEADINGS.items() for word in words}
    columns = [names.get(field.casefold(), "") for field in row]
    return columns if "email" in columns else []


def _address(text: str) -> str:
    """Returns the address of `Grace <grace@acme.example>`, else the text as it is."""
    return parseaddr(text)[1] if text.endswith(">") else text
