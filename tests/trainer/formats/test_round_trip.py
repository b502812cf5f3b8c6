"""A model goes from GGUF to Hugging Face and back without a changed weight or word."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from tests.trainer.formats import tiny
from tests.trainer.process import Run, work
from trainer.formats.gguf_file import GgufFile

pytestmark = pytest.mark.unit
TEXT = "the band in 2026: an <|user|> naïve 你好\n\tend's"


def convert(folder: Path, base: Path, **parameters: object) -> Run:
    return work(folder, "convert", base=str(base), parameters=parameters)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    return tiny.gguf(path, tiny.weights(tied=request.param))


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tmp_path_factory.mktemp("hf"), base, to="hf", dtype="f32").output / "model"


def test_no_weight_changes(base: Path, folder: Path, tmp_path: Path) -> None:
    back = GgufFile.open(convert(tmp_path, folder, dtype="f32").output / "model.gguf")
    first = GgufFile.open(base)
    assert back.header.tensors.keys() == first.header.tensors.keys()
    for name in first.header.tensors:
        assert np.array_equal(back.raw(name), first.raw(name)), name


def test_no_setting_and_no_word_changes(base: Path, folder: Path, tmp_path: Path) -> None:
    back = GgufFile.open(convert(tmp_path, folder, dtype="f32").output / "model.gguf").header
    first = GgufFile.open(base).header
    assert {name: back.get(name) for name in first.fields if name != "general.name"} == {
        name: field.value for name, field in first.fields.items() if name != "general.name"
    }


def test_only_rows_of_q_and_k_have_another_order(base: Path, folder: Path) -> None:
    """Hugging Face has the halves of each head one after the other, llama.cpp in turns."""
    tensors, file = load_file(folder / "model.safetensors"), GgufFile.open(base)
    ours = tensors["model.layers.0.self_attn.k_proj.weight"]
    theirs = file.floats("blk.0.attn_k.weight")
    half = tiny.WIDTH // tiny.HEADS // 2
    assert np.array_equal(ours[:half], theirs[: 2 * half : 2])
    assert np.array_equal(ours[half : 2 * half], theirs[1 : 2 * half : 2])
    assert np.array_equal(
        tensors["model.layers.0.self_attn.v_proj.weight"], file.floats("blk.0.attn_v.weight")
    )


def test_config_says_what_the_metadata_does(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, 2)
    assert (config["head_dim"], config["rms_norm_eps"]) == (16, 1e-5)
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}
    tied = "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert config["tie_word_embeddings"] is tied


def test_the_tokenizer_cuts_and_joins_texts(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(TEXT, add_special_tokens=False)
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == TEXT
    assert encoding.tokens[:2] == ["the", "Ġ"]
    assert "<|user|>" in encoding.tokens
    assert "20" not in encoding.tokens  # digits stand alone
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert (settings["eos_token"], settings["bos_token"]) == ("<|end|>", "<|user|>")
    assert (folder / "chat_template.jinja").read_text() == tiny.TEMPLATE


def test_a_folder_in_several_files_of_bfloat16_is_read(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    cut = tmp_path / "cut"
    cut.mkdir()
    for file, some in parts.items():
        _save_bfloat16(cut / file, {name: tensors[name] for name in some})
    index = {name: file for file, some in parts.items() for name in some}
    (cut / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (cut / name).write_bytes((folder / name).read_bytes())
    made = GgufFile.open(convert(tmp_path, cut, dtype="f32").output / "model.gguf")
    expected = _bfloat16(tensors["model.layers.1.mlp.up_proj.weight"]).astype(np.uint32) << 16
    assert np.array_equal(made.floats("blk.1.ffn_up.weight"), expected.view(np.float32))


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _save_bfloat16(path: Path, tensors: tiny.Weights) -> None:
    head: dict[str, object] = {}
    data = b""
    for name, values in tensors.items():
        start, data = len(data), data + _bfloat16(values).tobytes()
        offsets = [start, len(data)]
        head[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": offsets}
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_positions_of_llama_3_become_factors(folder: Path, tmp_path: Path) -> None:
    """Short waves stay, long ones are slowed by the factor, and those between by a part of it."""
    longer = tmp_path / "longer"
    longer.mkdir()
    for file in folder.iterdir():
        (longer / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    (longer / "config.json").write_text(json.dumps(config))
    made = GgufFile.open(convert(tmp_path, longer).output / "model.gguf")
    factors = made.floats("rope_freqs.weight").tolist()
    assert (factors[0], factors[-1]) == (1.0, 8.0)
    assert factors == sorted(factors)
    assert any(1 < factor < 8 for factor in factors)


def test_types_of_any_architecture_change_without_a_conversion(tmp_path: Path) -> None:
    odd = tiny.gguf(tmp_path / "odd.gguf", architecture="someday")
    file = GgufFile.open(convert(tmp_path, odd, dtype="f16").output / "model.gguf")
    assert file.header.architecture == "someday"
    assert file.header.get("general.name") == "Tiny"
    assert file.header.get("general.file_type") == 1
    assert file.header.tensors["blk.0.ffn_up.weight"].type.name == "F16"
    assert file.header.tensors["output_norm.weight"].type.name == "F32"
    before, after = tiny.weights()["token_embd.weight"], file.floats("token_embd.weight")
    assert np.allclose(after, before, atol=1e-3)
