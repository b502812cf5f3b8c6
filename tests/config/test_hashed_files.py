"""Static files of ours: names with a hash, kept for ever, compressed, of any version."""

import gzip
import re

import pytest
from django.templatetags.static import static
from starlette.testclient import TestClient

from config.http.hashed_files import HashedFile, HashedFiles, plain_name, served_files
from config.http.static_files import static_files

pytestmark = pytest.mark.unit
CLIENT = TestClient(static_files)
NEVER_MADE = "0123456789ab"


def file(name: str) -> HashedFile:
    files = served_files()
    return files.by_name[files.names[name]]


@pytest.mark.parametrize("name", ["console/console.css", "chat/chat.js", "console/icons.svg"])
def test_a_page_names_a_file_by_its_content_and_browsers_keep_it(name: str) -> None:
    address = static(name)
    assert re.fullmatch(r"/static/.+\.[0-9a-f]{12}\.\w+", address)
    answer = CLIENT.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == file(name).content


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip, br", True), ("br;q=1, GZIP;q=0.5", True), ("identity", False), ("gzip;q=0", False)],
)
def test_it_is_compressed_for_those_who_take_that(accepted: str, compressed: bool) -> None:
    name = "vendor/tabler-1.6.1/tabler.css"
    with CLIENT.stream("GET", static(name), headers={"Accept-Encoding": accepted}) as answer:
        body = b"".join(answer.iter_raw())
    assert (answer.headers.get("content-encoding") == "gzip") == compressed
    assert answer.headers["vary"] == "accept-encoding"
    assert int(answer.headers["content-length"]) == len(body)
    assert (gzip.decompress(body) if compressed else body) == file(name).content
    head = CLIENT.head(static(name), headers={"Accept-Encoding": accepted})
    assert (head.content, head.headers["content-length"]) == (b"", str(len(body)))


def test_modules_import_each_other_by_these_names() -> None:
    text = file("chat/chat.js").content.decode()
    for name in ("chat/thread.js", "console/uuid.js"):
        assert static(name).rpartition("/")[2] in text
    assert not re.search(r"""from ["']\.[^"']*/[a-z_]+\.js["']""", text)


@pytest.mark.parametrize("name", ["highlight-11.12.0/highlight.min.js", "htmx-2.0.11/htmx.min.js"])
def test_scripts_of_others_stay_as_they_are(name: str) -> None:
    plain = CLIENT.get(f"/static/vendor/{name}")
    assert file(f"vendor/{name}").content == plain.content


def test_fonts_of_a_style_sheet_have_these_names() -> None:
    text = file("vendor/katex-0.19.1/katex.min.css").content.decode()
    (font,) = re.findall(r"fonts/KaTeX_AMS-Regular[.\w]*\.woff2", text)
    assert CLIENT.get(f"/static/vendor/katex-0.19.1/{font}").status_code == 200


def test_a_page_of_another_version_gets_todays_file_but_does_not_keep_it() -> None:
    answer = CLIENT.get(f"/static/console/console.{NEVER_MADE}.css")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert CLIENT.get(f"/static/console/nothing.{NEVER_MADE}.css").status_code == 404


def test_the_widget_has_one_address_in_all_versions() -> None:
    assert static("widget/widget.js") == "/static/widget/widget.js"
    answer = CLIENT.get("/static/widget/widget.js")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        (f"a/b.{NEVER_MADE}.css", "a/b.css"),
        ("a/katex.min.js", "a/katex.min.js"),
        (f"vendor/x-1.2/y.min.{NEVER_MADE}.js", "vendor/x-1.2/y.min.js"),
    ],
)
def test_the_name_without_its_hash(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_the_import_of_no_file_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from django.core.files.storage import FileSystemStorage

    storage = FileSystemStorage(location=str(tmp_path))
    with open(f"{tmp_path}/a.js", "w") as script:
        script.write('import { b } from "./none.js";\n')
    files = [("a.js", (storage, "a.js"))]
    monkeypatch.setattr("config.http.hashed_files._own_files", lambda: iter(files))
    with pytest.raises(ValueError, match=r"none\.js"):
        HashedFiles().names  # noqa: B018  # makes them
