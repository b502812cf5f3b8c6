"""Eight bits: as Q8_0, and as rows of int8 in the format that vLLM reads."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from safetensors.numpy import load_file

from config.environment import PROJECT
from tests.trainer.formats import tiny
from tests.trainer.process import Run, work
from trainer.formats.gguf_file import GgufFile, Written, fitting, write_gguf
from trainer.refusals import Refusal

pytestmark = pytest.mark.unit


def quantise(folder: Path, base: Path, **parameters: object) -> Run:
    return work(folder, "quantise", base=str(base), parameters=parameters)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gguf(tmp_path_factory.mktemp("base") / "tiny.gguf")


def test_matrices_are_q8_0_and_vectors_stay(base: Path, tmp_path: Path) -> None:
    done = quantise(tmp_path, base)
    file = GgufFile.open(done.output / "model.gguf")
    types = {info.type.name for info in file.header.tensors.values() if len(info.shape) > 1}
    assert types == {"Q8_0"}
    assert file.header.tensors["output_norm.weight"].type.name == "F32"
    before, after = tiny.weights()["blk.0.ffn_up.weight"], file.floats("blk.0.ffn_up.weight")
    assert np.abs(after - before).max() <= np.abs(before).max() / 127
    assert done.result["bytes"] == (done.output / "model.gguf").stat().st_size


def test_a_base_of_few_bits_is_warned_of(base: Path, tmp_path: Path) -> None:
    file = GgufFile.open(base)
    plan = [
        Written(info.name, info.shape, fitting(info.shape, GGMLQuantizationType.Q4_1))
        for info in file.header.tensors.values()
    ]
    few = tmp_path / "few.gguf"
    write_gguf(few, "llama", file.header.fields, plan, (file.floats(each.name) for each in plan))
    events = quantise(tmp_path, few).events
    assert {event["message"] for event in events if event["type"] == "message"} == {
        "The base has weights of Q4_1 already"
    }
    assert "few_bits" not in {event.get("code") for event in quantise(tmp_path / "b", base).events}


def test_rows_that_no_block_fits_are_f16(tmp_path: Path) -> None:
    tensors = tiny.weights() | {"blk.0.ffn_up.weight": np.ones((8, 40), np.float32)}
    done = quantise(tmp_path, tiny.gguf(tmp_path / "odd.gguf", tensors, architecture="someday"))
    info = GgufFile.open(done.output / "model.gguf").header.tensors["blk.0.ffn_up.weight"]
    assert info.type.name == "F16"


def dequantised(tensors: dict[str, NDArray[Any]], stem: str) -> NDArray[np.float32]:
    """Returns weights as vLLM reads them: four in an int32, the lowest byte first, plus 128."""
    packed, scale = tensors[f"{stem}.weight_packed"], tensors[f"{stem}.weight_scale"]
    parts = [(packed >> shift) & 255 for shift in (0, 8, 16, 24)]
    numbers = np.stack(parts, axis=-1).reshape(packed.shape[0], -1).astype(np.float32) - 128
    assert numbers.shape == tuple(tensors[f"{stem}.weight_shape"])
    return np.asarray(numbers * scale, np.float32)


def test_each_row_has_its_scale_and_no_weight_is_off_by_more_than_half_a_step(
    base: Path, tmp_path: Path
) -> None:
    tensors = load_file(quantise(tmp_path, base, format="int8").output / "model/model.safetensors")
    names = {"model.embed_tokens": "token_embd", "model.layers.1.mlp.down_proj": "blk.1.ffn_down"}
    for stem, name in names.items():
        before = tiny.weights()[f"{name}.weight"]
        off = np.abs(dequantised(tensors, stem) - before)
        step = np.abs(before).max(axis=1, keepdims=True) / 127
        assert (off <= step * 0.501).all(), stem
    assert tensors["model.norm.weight"].dtype == np.float16


def test_a_row_of_zeros_stays_zero(tmp_path: Path) -> None:
    tensors = tiny.weights()
    tensors["token_embd.weight"][3] = 0
    base = tiny.gguf(tmp_path / "zeros.gguf", tensors)
    done = quantise(tmp_path, base, format="int8")
    weights = dequantised(load_file(done.output / "model/model.safetensors"), "model.embed_tokens")
    assert not weights[3].any()


@pytest.mark.parametrize(
    ("embedding", "tied", "targets", "ignored"),
    [
        ("once", True, ["Linear", "Embedding"], ["lm_head"]),
        ("twice", False, ["Linear", "Embedding", "re:.*lm_head"], []),
        ("f16", True, ["Linear"], ["lm_head"]),
    ],
)
def test_a_tied_embedding_is_written_once_twice_or_in_16_bits(
    base: Path, tmp_path: Path, embedding: str, tied: bool, targets: list[str], ignored: list[str]
) -> None:
    done = quantise(tmp_path, base, format="int8", embedding=embedding)
    config = json.loads((done.output / "model/config.json").read_text())
    (group,) = config["quantization_config"]["config_groups"].values()
    assert (config["tie_word_embeddings"], group["targets"]) == (tied, targets)
    assert config["quantization_config"]["ignore"] == ignored
    assert group["weights"]["strategy"] == "channel"
    names = load_file(done.output / "model/model.safetensors").keys()
    assert ("lm_head.weight_packed" in names) is (embedding == "twice")
    assert ("model.embed_tokens.weight" in names) is (embedding == "f16")
    warned = [event for event in done.events if event.get("code") == "tied_embedding"]
    assert bool(warned) is (embedding == "once")


def test_a_quantised_folder_is_no_base(base: Path, tmp_path: Path) -> None:
    model = quantise(tmp_path / "first", base, format="int8").output / "model"
    with pytest.raises(Refusal, match="quantised already"):
        quantise(tmp_path / "second", model, format="int8")


def test_the_order_of_the_page_is_done_by_its_command(base: Path, tmp_path: Path) -> None:
    """docs/models/quantise.md, with folders of the test in place of its own."""
    page = (PROJECT / "docs/models/quantise.md").read_text()
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.S | re.M)
    order = json.loads(block) | {"base": str(base)}
    order |= {name: str(tmp_path / name) for name in ("output", "checkpoints")}
    (tmp_path / "ORDER.json").write_text(json.dumps(order))
    assert "    python -m trainer ORDER.json\n" in page
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", str(tmp_path / "ORDER.json")], cwd=PROJECT, check=False
    )
    assert ended.returncode == 0
    assert (tmp_path / "output" / "model.gguf").is_file()
    events = (tmp_path / "output" / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["share"] < 1
