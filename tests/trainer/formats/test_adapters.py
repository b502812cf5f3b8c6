"""A LoRA of peft becomes a GGUF that llama.cpp puts on its base."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.trainer.formats import tiny
from tests.trainer.process import Run, work
from trainer.formats.adapter import write_adapter
from trainer.formats.gguf_file import GgufFile
from trainer.refusals import Exit, Refusal

pytestmark = pytest.mark.unit


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.gguf(tmp_path / "tiny.gguf")


def convert(folder: Path, base: Path, adapter: Path) -> Run:
    return work(folder, "convert", base=str(base), parameters={"adapter": str(adapter)})


def test_it_adds_to_each_matrix_what_the_lora_adds(base: Path, tmp_path: Path) -> None:
    """The product of both sides is that of peft, with q's rows in llama.cpp's order."""
    adapter = tiny.adapter(tmp_path / "adapter")
    done = convert(tmp_path / "out", base, adapter)
    assert done.result["model"] == "adapter.gguf"
    file = GgufFile.open(done.output / "adapter.gguf")
    sides = load_file(adapter / "adapter_model.safetensors")
    assert (file.header.get("general.type"), file.header.get("adapter.type")) == ("adapter", "lora")
    assert file.header.get("adapter.lora.alpha") == 8.0
    name = "base_model.model.model.layers.1."
    for module, theirs, heads in (
        ("self_attn.q_proj", "attn_q", 4),
        ("self_attn.k_proj", "attn_k", 2),
        ("mlp.down_proj", "ffn_down", 0),
    ):
        added = sides[f"{name}{module}.lora_B.weight"] @ sides[f"{name}{module}.lora_A.weight"]
        if heads:
            halves = added.reshape(heads, 2, -1, added.shape[1])
            added = halves.swapaxes(1, 2).reshape(added.shape)
        start = f"blk.1.{theirs}.weight.lora_"
        assert np.allclose(file.floats(start + "b") @ file.floats(start + "a"), added, atol=1e-5)
    assert len(file.header.tensors) == 6


def test_the_scale_of_rslora_is_carried_over(base: Path, tmp_path: Path) -> None:
    adapter = tiny.adapter(tmp_path / "adapter", use_rslora=True)
    write_adapter(adapter, base, tmp_path / "adapter.gguf")
    header = GgufFile.open(tmp_path / "adapter.gguf").header
    assert header.get("adapter.lora.alpha") == 16.0  # 8 times the root of rank 4


def refused(adapter: Path, base: Path) -> str:
    target = adapter / "adapter.gguf"
    with pytest.raises(Refusal) as refusal:
        write_adapter(adapter, base, target)
    assert refusal.value.ending == Exit.BASE_UNUSABLE
    assert not list(adapter.glob("adapter.gguf*"))
    return refusal.value.code


@pytest.mark.parametrize(
    "setting",
    [
        {"peft_type": "LOHA"},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"alpha_pattern": {"q_proj": 4}},
        {"bias": "all"},
        {"r": None},
        {"r": 0},
    ],
)
def test_an_adapter_that_llama_cpp_cannot_put_on_is_refused(
    base: Path, tmp_path: Path, setting: dict[str, object]
) -> None:
    assert refused(tiny.adapter(tmp_path / "adapter", **setting), base) == "unknown_adapter"


def test_weights_that_are_no_loras_are_refused(base: Path, tmp_path: Path) -> None:
    adapter = tiny.adapter(tmp_path / "adapter")
    other = {"lm_head.weight": np.ones((2, 2), np.float32)}
    save_file(other, adapter / "adapter_model.safetensors")
    assert refused(adapter, base) == "unknown_adapter"


def test_an_adapter_without_weights_or_with_pickled_ones_is_refused(
    base: Path, tmp_path: Path
) -> None:
    adapter = tiny.adapter(tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    assert refused(adapter, base) == "no_weights"
    (adapter / "adapter_model.bin").write_bytes(b"PK")
    assert refused(adapter, base) == "pickle"
