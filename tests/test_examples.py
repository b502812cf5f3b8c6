"""That a run which fails can be run again: tests/conftest.py on Hypothesis."""

import pytest
from hypothesis.internal.conjecture import providers

from tests.conftest import EXPLORE


@pytest.mark.unit
@pytest.mark.skipif(EXPLORE, reason="new examples are wanted")
def test_examples_do_not_depend_on_which_modules_are_loaded() -> None:
    assert not list(providers._get_local_constants())
