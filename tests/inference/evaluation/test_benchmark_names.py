"""Names of public benchmarks are refused, also inside of other names, but not inside of words."""

import pytest

from inference.evaluation.benchmark_names import benchmark_in, is_refused

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [
        ("mmlu", "mmlu"),
        ("mmlu-law.zh", "mmlu"),
        ("our_GSM8K", "gsm8k"),
        ("hella-swag", "hellaswag"),
        ("arc-challenge-2", "arc"),
        ("wikitext", "wikitext"),
        ("archive-questions", ""),
        ("dropdowns", ""),
        ("capitals", ""),
    ],
)
def test_a_benchmark_is_recognised(name: str, benchmark: str) -> None:
    assert benchmark_in(name) == benchmark


def test_only_the_licensed_copy_bears_the_name() -> None:
    licensed = {"mmlu": "a" * 64}
    assert is_refused("mmlu", "b" * 64, licensed)
    assert is_refused("gsm8k", "a" * 64, licensed)
    assert not is_refused("mmlu", "a" * 64, licensed)
    assert not is_refused("capitals", "b" * 64, licensed)
