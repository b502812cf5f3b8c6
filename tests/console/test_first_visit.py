"""A first visit is light: page and files together are at most 200 KB (KB of 1,000 bytes)."""

import pytest
from django.test import Client

from config.http.hashed_files import served_files
from tenants.models import Member
from tests.console.conftest import SignIn
from tests.console.first_visit import transferred

MOST_BYTES = 200_000


@pytest.mark.parametrize("path", ["/login/", "/console/t/acme/", "/chat/"])
def test_a_first_visit_is_at_most_200_kilobytes(alice: Member, sign_in: SignIn, path: str) -> None:
    client = Client() if path == "/login/" else sign_in(alice)
    page = client.get(path).content
    sizes = transferred(page.decode())
    total = len(page) + sum(sizes.values())
    print(path, total, "bytes,", len(page), "of the page;", sorted(sizes.items()))
    assert any("tabler" in name for name in sizes)
    assert total <= MOST_BYTES, sizes


@pytest.mark.unit
def test_formulas_are_typeset_by_files_of_which_a_first_visit_has_none() -> None:
    names = served_files().names
    module = served_files().by_name[names["chat/formulas.js"]]
    assert names["vendor/katex-0.19.1/katex.min.js"].rpartition("/")[2] in module.content.decode()
