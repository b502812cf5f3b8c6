"""Fragmentation of a KV cache, from what vLLM says of itself."""

import pytest

from inference.engines import load
from inference.engines.load import Load

pytestmark = pytest.mark.unit


def said(
    running: int, *usage: float, blocks: object = 1001, block: object = 16, memory: str = "0.9"
) -> str:
    """`usage`: of each engine core."""
    lines = [f'vllm:num_requests_running{{engine="0",model_name="m"}} {running}.0']
    for core, share in enumerate(usage):
        lines.append(f'vllm:kv_cache_usage_perc{{engine="{core}",model_name="m"}} {share}')
        lines.append(
            f'vllm:cache_config_info{{block_size="{block}",engine="{core}",'
            f'gpu_memory_utilization="{memory}",mamba_block_size="7",num_gpu_blocks="{blocks}",'
            'num_gpu_blocks_override="3",user_specified_block_size="True"} 1.0'
        )
    return "\n".join(lines) + "\n"


def read(text: str) -> Load:
    found = load.read(text, load.VLLM)
    assert found
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 1,000 blocks can be given; half of them are 8,000 tokens, of which 10 * 7.5 are lost.
        (said(10, 0.5), 75 / 8_000),
        (said(10, 0.01), 75 / 160),
        (said(10, 0.25, 0.25), 75 / 8_000),
        (said(10, 0.5, block=512), 10 * 255.5 / (500 * 512)),
        (said(10, 0.5, block=1), 0),
        (said(0, 0.0), 0),
        (said(3, 0.0), 0),  # they have just come
        (said(0, 0.2), 0),
        (said(900, 0.001), 1),  # figures of two moments
    ],
)
def test_half_a_block_of_each_that_runs(text: str, expected: float) -> None:
    assert read(text).fragmentation == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        said(3),
        said(3, 0.5, blocks="None"),
        said(3, 0.5, block="None"),
        said(3, 0.5, blocks="0"),
        'vllm:num_requests_running{engine="0"} 3.0\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n',
    ],
)
def test_what_is_not_said_is_not_guessed(text: str) -> None:
    assert read(text).fragmentation is None


def test_what_it_takes_of_the_gpu_for_good() -> None:
    assert read(said(3, 0.5, 0.5, memory="0.92")).gpu_memory == 0.92
    assert read(said(3)).gpu_memory is None


def test_a_figure_that_is_none_is_an_error_as_for_all_others() -> None:
    with pytest.raises(ValueError):
        load.read(said(3, 0.5).replace("} 0.5", "} high"), load.VLLM)


def test_others_have_none() -> None:
    text = 'sglang:num_running_reqs{tp_rank="0"} 3.0\nsglang:token_usage{tp_rank="0"} 0.5\n'
    assert load.read(text, load.SGLANG) == Load(3, 0, 0.5)
