"""Every text has its Chinese one, and the compiled catalogue is that of the source."""

import re
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.test import Client

from tenants.models import Member
from tests.console.conftest import SignIn

CATALOGUE = Path(settings.BASE_DIR) / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
AAD = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
TEXTS = re.compile(r"""\{% translate (?:"([^"]+)"|'([^']+)')""")
TEMPLATES = Path(settings.BASE_DIR) / "templates"


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(CATALOGUE))


def texts(book: Any) -> dict[Any, Any]:
    return {(e.msgctxt, e.msgid): (e.msgstr, e.msgstr_plural) for e in book}


def places(text: str) -> set[str]:
    return set(AAD.findall(text))


@pytest.mark.unit
def test_nothing_is_left_untranslated(catalogue: polib.POFile) -> None:
    assert not catalogue.untranslated_entries()
    assert not catalogue.fuzzy_entries()


@pytest.mark.unit
def test_what_is_filled_in_is_kept(catalogue: polib.POFile) -> None:
    for entry in catalogue:
        for text in (entry.msgstr, *entry.msgstr_plural.values()):
            if text:
                assert places(entry.msgid_plural or entry.msgid) == places(text), entry.msgid


@pytest.mark.unit
def test_the_compiled_catalogue_is_up_to_date(catalogue: polib.POFile) -> None:
    compiled = polib.mofile(str(CATALOGUE)[:-2] + "mo")
    assert texts(compiled) == texts(catalogue)


@pytest.mark.unit
def test_every_text_of_the_templates_is_in_it(catalogue: polib.POFile) -> None:
    known = {entry.msgid for entry in catalogue}
    found = {
        a or b for page in TEMPLATES.rglob("*.html") for a, b in TEXTS.findall(page.read_text())
    }
    assert found - known == set()


def test_the_console_in_chinese(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/console/t/acme/"})
    page = client.get("/console/t/acme/").content.decode()
    assert '<html lang="zh-hans" data-time-zone="UTC">' in page
    assert "概览" in page


def test_the_browsers_language_decides_at_first(db: None) -> None:
    page = Client(headers={"Accept-Language": "zh-CN,zh;q=0.9"}).get("/login/").content.decode()
    assert "登录" in page
