"""What a server's metrics say of its work."""

import pytest

from inference import engine_progress
from inference.engine_progress import EngineProgress

pytestmark = pytest.mark.unit
LLAMA_CPP = """# TYPE llamacpp:n_decode_total counter
llamacpp:prompt_tokens_total 10
llamacpp:tokens_predicted_total 4
llamacpp:n_decode_total {decodes}
llamacpp:requests_processing 1
"""
VLLM = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="m"}} 0.0
vllm:num_requests_running{{engine="1",model_name="m"}} 2.0
vllm:iteration_tokens_total_count{{engine="0",model_name="m"}} 5.0
vllm:iteration_tokens_total_count{{engine="1",model_name="m"}} {decodes}.0
"""
SGLANG = """sglang:num_running_reqs{{model_name="m",tp_rank="0"}} 1.0
sglang:realtime_tokens_total{{mode="decode",tp_rank="0"}} 3
sglang:realtime_tokens_total{{mode="prefill_compute",tp_rank="0"}} {decodes}
"""


@pytest.mark.parametrize(
    ("kind", "text"), [("llama_cpp", LLAMA_CPP), ("vllm", VLLM), ("sglang", SGLANG)]
)
def test_each_step_makes_another_figure(kind: str, text: str) -> None:
    before, after = (engine_progress.read(kind, text.format(decodes=n)) for n in (7, 8))
    assert before
    assert after
    assert (before.busy, after.done - before.done) == (True, 1)


def test_an_idle_server_is_not_busy() -> None:
    idle = LLAMA_CPP.format(decodes=7).replace("processing 1", "processing 0")
    assert engine_progress.read("llama_cpp", idle) == EngineProgress(False, 21)


@pytest.mark.parametrize("text", ["", "other:figure 1", "llamacpp:requests_processing 1"])
def test_metrics_that_do_not_say_it(text: str) -> None:
    assert engine_progress.read("llama_cpp", text) is None


def test_an_older_sglang_is_not_judged_by_what_stands_still_while_it_reads() -> None:
    older = 'sglang:num_running_reqs 1.0\nsglang:prompt_tokens_total{model_name="m"} 5\n'
    assert engine_progress.read("sglang", older) is None


def test_a_figure_that_is_no_number_counts_as_nothing() -> None:
    odd = LLAMA_CPP.format(decodes="what")
    assert engine_progress.read("llama_cpp", odd) == EngineProgress(True, 14)
