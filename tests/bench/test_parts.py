"""Parts with servers of their own: what each is asked for, and where its report goes."""

from typing import Any, get_args, get_type_hints

import pytest

from bench.parts import catalogue
from bench.parts.catalogue import APART
from bench.report.results import Results

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", APART)
def test_the_results_have_a_place_for_each_report(name: str) -> None:
    hint = get_type_hints(Results)[APART[name].field]
    assert set(get_args(hint)) == {APART[name].kind, type(None)}


@pytest.mark.parametrize(
    ("name", "quick", "asked", "size"),
    [
        ("admission", False, (None, None), {"rounds": 5, "seconds": 6.0}),
        ("admission", True, (7, None), {"rounds": 7, "seconds": 3.0}),
        ("usage", True, (7, 9.0), {"rows": 500_000}),
    ],
)
def test_what_somebody_asks_for_goes_before_its_own(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    quick: bool,
    asked: tuple[Any, Any],
    size: dict[str, float],
) -> None:
    results, part = Results({}, quick=quick, rounds=1, seconds=2.0), APART[name]
    monkeypatch.setattr(catalogue, "measured_apart", lambda *told, **options: (told, options))
    part.measure(results, *asked)
    assert getattr(results, part.field) == ((part.module, part.kind), size)
