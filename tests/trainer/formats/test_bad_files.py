"""Files that are broken, or made to do harm, are refused with a code, and leave nothing behind."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.formats import tiny
from tests.trainer.process import run
from trainer.formats.gguf_file import GgufFile
from trainer.formats.gguf_header import read_header
from trainer.formats.model import open_model
from trainer.formats.safetensors_file import read_file, read_folder
from trainer.refusals import Exit, Refusal

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny.gguf(tmp_path_factory.mktemp("sound") / "tiny.gguf").read_bytes()


def code_of(path: Path) -> str:
    with pytest.raises(Refusal) as refusal:
        open_model(path)
    assert refusal.value.ending == Exit.BASE_UNUSABLE
    return refusal.value.code


def test_a_gguf_cut_off_anywhere_is_refused(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    for length in [*range(0, 400, 7), *range(400, len(sound), 997), len(sound) - 1]:
        path.write_bytes(sound[:length])
        assert code_of(path) == "bad_gguf", length


@given(position=st.integers(0, 6000), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_nothing_else(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(sound[:position] + bytes([value]) + sound[position + 1 :])
    try:
        open_model(path)
    except Refusal as refusal:
        assert refusal.ending == Exit.BASE_UNUSABLE


@pytest.mark.parametrize("count", [1 << 20, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("place", [8, 16], ids=["tensors", "fields"])
def test_counts_beyond_the_file_are_refused(
    sound: bytes, tmp_path: Path, count: int, place: int
) -> None:
    path = tmp_path / "many.gguf"
    path.write_bytes(sound[:place] + struct.pack("<Q", count) + sound[place + 8 :])
    assert code_of(path) == "bad_gguf"


@pytest.mark.parametrize(
    "start", [b"GGML", b"\x7fELF", b"<!DOCTYPE html>", b"GGUF\x01\0\0\0", b"GGUF\0\0\0\x03", b""]
)
def test_another_kind_of_file_is_refused(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(start + bytes(100))
    assert code_of(path) == "bad_gguf"


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors"])
@pytest.mark.parametrize("data", [pickle.dumps({"weight": 1}), b"PK\x03\x04archive/data.pkl"])
def test_pickles_are_refused_whatever_they_are_called(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(data + bytes(64))
    with pytest.raises(Refusal) as refusal:
        read_header(path) if name.endswith("gguf") else read_file(path)
    assert refusal.value.code == "pickle"


def test_a_folder_with_pickles_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(Refusal) as refusal:
        read_folder(tmp_path)
    assert refusal.value.code == "pickle"


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "a/b", "a\\b", "..", "a..b", "", "x" * 200, "ä"]
)
def test_names_that_could_lead_out_of_a_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = tiny.gguf(tmp_path / "names.gguf", tiny.weights() | {name: np.ones(4, np.float32)})
    assert code_of(path) == "bad_gguf"


def test_tensors_that_overlap_are_refused(sound: bytes, tmp_path: Path) -> None:
    header = GgufFile.open(_written(tmp_path / "sound.gguf", sound)).header
    name = "blk.0.attn_q.weight"
    place = sound.index(name.encode()) + len(name) + 4 + 2 * 8 + 4  # its offset
    assert header.tensors[name].shape == (64, 64)
    overlapping = sound[:place] + struct.pack("<Q", 32) + sound[place + 8 :]
    assert code_of(_written(tmp_path / "overlapping.gguf", overlapping)) == "bad_gguf"


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


ODD_WEIGHT = {"blk.0.odd.weight": np.ones(4, np.float32)}
ROPE = {"rope_freqs.weight": np.ones(8, np.float32)}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"architecture": "mamba"}, "unknown_architecture"),
        ({"expert_count": 8}, "unknown_architecture"),
        ({"block_count": 3}, "bad_weights"),
        ({"block_count": 2_000_000_000}, "bad_settings"),
        ({"embedding_length": 0}, "bad_settings"),
        ({"feed_forward_length": 128}, "bad_weights"),
        ({"without": ["output_norm.weight"]}, "bad_weights"),
        ({"tensors": tiny.weights() | ODD_WEIGHT}, "unknown_weight"),
        ({"tensors": tiny.weights() | ROPE}, "unknown_positions"),
    ],
)
def test_a_model_that_is_unknown_or_incomplete_is_refused(
    tmp_path: Path, change: dict[str, object], code: str
) -> None:
    assert code_of(tiny.gguf(tmp_path / "odd.gguf", **change)) == code  # type: ignore[arg-type]


def test_several_ggufs_in_a_folder_are_refused(sound: bytes, tmp_path: Path) -> None:
    _written(tmp_path / "model-1-of-2.gguf", sound)
    _written(tmp_path / "model-2-of-2.gguf", sound)
    assert code_of(tmp_path) == "several_files"


@pytest.mark.parametrize("file", ["../outside.safetensors", "/etc/passwd", "model.bin", 3])
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path: Path, file: object) -> None:
    index = {"weight_map": {"weight": file}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(Refusal) as refusal:
        read_folder(tmp_path)
    assert refusal.value.code == "bad_safetensors"


BEYOND = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'


@pytest.mark.parametrize(
    "head",
    [
        (1 << 60).to_bytes(8, "little"),
        (10).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (70).to_bytes(8, "little") + BEYOND.ljust(70),
        b"",
    ],
)
def test_broken_heads_of_safetensors_are_refused(tmp_path: Path, head: bytes) -> None:
    path = _written(tmp_path / "model.safetensors", head)
    with pytest.raises(Refusal) as refusal:
        read_file(path)
    assert refusal.value.code == "bad_safetensors"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("[]", "bad_json"),
        ("[" * 100_000, "bad_json"),
        ("{}", "unknown_architecture"),
        ('{"architectures": ["BertModel"]}', "unknown_architecture"),
        ('{"architectures": ["LlamaForCausalLM"]}', "bad_settings"),
        ('{"architectures": ["LlamaForCausalLM"], "quantization_config": {"a": 1}}', "quantised"),
    ],
)
def test_a_config_that_is_broken_or_of_another_model_is_refused(
    tmp_path: Path, text: str, code: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    assert code_of(tmp_path) == code


def test_a_refused_base_ends_the_process_with_69_and_leaves_nothing(tmp_path: Path) -> None:
    path = tiny.gguf(tmp_path / "mamba.gguf", architecture="mamba")
    done = run(tmp_path, "convert", base=str(path), parameters={"to": "hf"})
    assert (done.code, done.error) == (69, "unknown_architecture")
    assert done.events[-1]["message"] == (
        "The architecture 'mamba' cannot be converted: only "
        "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM"
    )
    assert sorted(path.name for path in done.output.iterdir()) == ["events.jsonl"]
