"""The list of wrong lines fits the code, and a run says what came of each."""

from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.mutants import __main__ as run
from tests.mutants.copy_of_project import Copy
from tests.mutants.mutant import Mutant, Stale, listed
from tests.mutants.results import Result, Results, Verdict

pytestmark = pytest.mark.unit
MUTANTS = listed()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.id}-{mutant.path}")
def test_a_mutants_line_stands_in_its_file_once(mutant: Mutant) -> None:
    """Whoever changes such a line changes mutants.toml with it."""
    changed = mutant.applied((PROJECT / mutant.path).read_text())
    if mutant.path.endswith(".py"):
        compile(changed, mutant.path, "exec")
    assert mutant.why


@pytest.mark.parametrize("test", sorted({test for one in MUTANTS for test in one.tests}))
def test_a_mutants_tests_are_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert (PROJECT / path).exists()
    assert not name or f"def {name}(" in (PROJECT / path).read_text()


def test_no_change_is_listed_twice_and_sql_comes_last() -> None:
    assert len({mutant.id for mutant in MUTANTS}) == len(MUTANTS) >= 100
    is_sql = [mutant.path.endswith(".sql") for mutant in MUTANTS]
    assert is_sql == sorted(is_sql)


# A run ------------------------------------------------------------------------------------------
CODE = "def is_even(n):\n    return n % 2 == 0\n"
TEST = "from code_of import is_even\n\n\ndef test_even():\n    assert is_even(4)\n"


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    (tmp_path / "code_of.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return Copy(tmp_path)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "var" / "results.jsonl")


def a_mutant(old: str, new: str, test: str = "test_code.py") -> Mutant:
    return Mutant("kind", "code_of.py", old, new, (test,), "numbers are even or odd")


@pytest.mark.parametrize(
    ("mutant", "verdict"),
    [
        (a_mutant("== 0", "== 1"), Verdict.NOTICED),
        (a_mutant("n % 2", "n % 4"), Verdict.SURVIVED),
        (a_mutant("n % 3", "n % 4"), Verdict.STALE),
        (a_mutant("n", "m"), Verdict.STALE),
        (a_mutant("== 0", "== 1", "test_other.py"), Verdict.BROKEN),
    ],
    ids=lambda value: value if isinstance(value, Verdict) else "",
)
def test_what_comes_of_a_mutant(
    copy: Copy, mutant: Mutant, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PYTEST", (*run.PYTEST[:3], "-q", "-c", "pytest.ini"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # it saves seconds
    assert run.tried(copy, mutant).verdict == verdict
    assert (copy.root / "code_of.py").read_text() == CODE


def test_a_line_that_stands_twice_is_stale() -> None:
    with pytest.raises(Stale, match="stands 2 times"):
        a_mutant("a", "b").applied("a = a")


@pytest.mark.parametrize(("noticed", "good"), [(19, True), (18, False)])
def test_ninety_five_of_a_hundred_are_enough(results: Results, noticed: int, good: bool) -> None:
    mutants = [a_mutant("old", str(n)) for n in range(20)]
    for n, mutant in enumerate(mutants):
        verdict = Verdict.NOTICED if n < noticed else Verdict.SURVIVED
        results.add(Result(mutant.id, verdict, "", 1.0))
    words, is_good = results.summary(mutants)
    assert (is_good, f"{noticed} of 20 noticed" in words) == (good, True)
    assert words.count("survived: numbers are even or odd") == 20 - noticed


def test_a_run_that_was_cut_off_goes_on(results: Results, tmp_path: Path) -> None:
    noticed, survived, stale, due = mutants = [a_mutant("old", str(n)) for n in range(4)]
    results.add(Result(noticed.id, Verdict.NOTICED, "", 1.0))
    results.add(Result(survived.id, Verdict.SURVIVED, "", 1.0))
    results.add(Result(stale.id, Verdict.STALE, "", 1.0))
    again = Results(tmp_path / "var" / "results.jsonl")
    assert [one for one in mutants if not again.is_done(one)] == [survived, stale, due]
    words, good = again.summary(mutants)
    assert not good
    assert "1 of 2 noticed (50.0%), 1 stale, 0 broken, 1 have not run" in words
    anew = Results(tmp_path / "var" / "results.jsonl", anew=True)
    assert not anew.is_done(noticed)
