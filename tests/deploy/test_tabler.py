"""The part of Tabler that is served is what its script makes of the whole."""

import pytest

from deploy.tabler import trim

pytestmark = pytest.mark.unit


def test_the_style_sheet_is_as_its_script_writes_it() -> None:
    assert trim.TARGET.read_text() == trim.trimmed(), "python -m deploy.tabler.trim"


@pytest.mark.parametrize(
    ("css", "kept"),
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".a,.b,p{x:1}", ".a,p{x:1}"),
        (".a .b{x:1}", ""),
        (".a:not(.b){x:1}", ".a:not(.b){x:1}"),
        ("@media print{.b{x:1}.a{x:2}}", "@media print{.a{x:2}}"),
        ("@media print{.b{x:1}}", ""),
        ('.a::before{content:"}"}.b{x:1}', '.a::before{content:"}"}'),
        (".a\\/2{x:1}", ""),
    ],
)
def test_rules_of_known_classes_stay(css: str, kept: str) -> None:
    assert "".join(trim.used(css, frozenset({"a"}))) == kept


def test_the_colours_of_charts_stay() -> None:
    assert {"primary", "red", "teal"} <= trim.tones()  # those of the overview, too
    css = trim.TARGET.read_text()
    assert [tone for tone in trim.tones() if f"--tblr-{tone}:" not in css] == []


def test_custom_properties_that_nothing_reads_go_also_those_that_only_they_read() -> None:
    css = ":root{--a:1;--b:var(--c);--c:2;--d:url(data:x;y)}p{x:var(--a);y:var(--d)}"
    assert trim.without_unread(css, ()) == ":root{--a:1;--d:url(data:x;y)}p{x:var(--a);y:var(--d)}"
    assert "--c:2" in trim.without_unread(css, ["z{x:var(--b)}"])
