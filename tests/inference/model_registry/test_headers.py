"""Headers of model files are read within bounds. What is broken or could run code is refused."""

import json
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.model_registry import contents
from inference.model_registry.headers import gguf as gguf_header
from inference.model_registry.headers import safetensors as safetensors_header
from inference.model_registry.headers.header import BadFile
from inference.models import VersionKind
from tests.inference.model_registry.files import folder, gguf, safetensors

pytestmark = pytest.mark.unit
BASE = VersionKind.BASE


def refusal(path: Path, kind: VersionKind = BASE) -> str:
    with pytest.raises(BadFile) as problem:
        contents.read(path, kind)
    return str(problem.value)


# Whole files -------------------------------------------------------------------------------------
def test_several_files_are_one_model(tmp_path: Path) -> None:
    for number in (1, 2):
        safetensors(tmp_path / f"model-{number}-of-2.safetensors", a=[4], b=[2, 2])
    checked = contents.read(tmp_path, BASE)
    assert (checked.header.parameters, checked.format) == (16, "safetensors")


def test_repositories_leave_their_own_files_out(tmp_path: Path) -> None:
    folder(tmp_path / "m")
    (tmp_path / "m" / ".gitattributes").write_text("*.safetensors filter=lfs")
    (tmp_path / "m" / ".git").mkdir()
    (tmp_path / "m" / ".git" / "HEAD").write_text("x")
    assert len(contents.read(tmp_path / "m", BASE).files) == 3


# safetensors -------------------------------------------------------------------------------------
def _written(path: Path, header: Any, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def _tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def _twice(name: str) -> bytes:
    """Returns a header of safetensors with two tensors of one name."""
    both = (json.dumps(_tensor()), json.dumps(_tensor(offsets=(4, 8))))
    return ("{" + ", ".join(f'"{name}": {one}' for one in both) + "}").encode()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{", b""),
        (b"[]", b""),
        (b"\xff\xff", b""),
        (b"[" * 100_000, b""),
        ({"w": 1}, b""),
        ({"w": _tensor()}, b"123"),
        ({"w": _tensor()}, b"12345"),
        ({"w": _tensor(dtype="OBJECT")}, b"1234"),
        ({"w": _tensor(shape=(-1,))}, b"1234"),
        ({"w": _tensor(shape=(1.5,))}, b"1234"),
        ({"w": _tensor(shape=(1 << 62,))}, b"1234"),
        ({"w": _tensor(shape=[1] * 9)}, b"1234"),
        ({"w": _tensor(offsets=(4, 8))}, b"12345678"),
        ({"w": _tensor(offsets=(-4, 0))}, b"1234"),
        ({"w": _tensor(), "v": _tensor()}, b"1234"),
        (_twice("w"), b"12345678"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused(
    tmp_path: Path, header: Any, data: bytes
) -> None:
    with pytest.raises(BadFile):
        safetensors_header.read(_written(tmp_path / "m.safetensors", header, data))


@pytest.mark.parametrize("length", [0, 1, 1 << 40, (1 << 64) - 1])
def test_a_header_of_impossible_length_is_not_read(tmp_path: Path, length: int) -> None:
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(BadFile, match="wrong length"):
        safetensors_header.read(tmp_path / "m.safetensors")


# GGUF --------------------------------------------------------------------------------------------
_BEGINNING = b"GGUF" + struct.pack("<I", 3)
_ONE_KEY = _BEGINNING + struct.pack("<QQ", 0, 1)
HUGE = (1 << 64) - 1


def _text(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def _array(kind: int, length: int) -> bytes:
    return _text(b"k") + struct.pack("<IIQ", 9, kind, length)


def _one_tensor(*numbers: int) -> bytes:
    """Returns a file with one tensor: number of dimensions, values, type, offset."""
    return _BEGINNING + struct.pack("<QQ", 1, 0) + _text(b"t") + struct.pack("<IQIQ", *numbers)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GGUF",
        b"GGML" + bytes(20),
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        _BEGINNING + struct.pack("<QQ", HUGE, 0),
        _BEGINNING + struct.pack("<QQ", 0, HUGE),
        _ONE_KEY + _text(b"k", HUGE),
        _ONE_KEY + _text(b"k") + struct.pack("<I", 99),
        _ONE_KEY + _text(b"k") + struct.pack("<I", 8) + _text(b"", HUGE),
        _ONE_KEY + _array(8, HUGE),
        _ONE_KEY + _array(4, 4_000_000),
        _ONE_KEY + _array(9, 1) + struct.pack("<IQ", 9, 1) * 10,
        _BEGINNING + struct.pack("<QQ", 1, 0) + _text(b"t") + struct.pack("<I", 5),
        _one_tensor(1, 64, 99, 0),
        _one_tensor(1, 1 << 60, 0, 0),
        _one_tensor(1, 33, 8, 0) + bytes(99),
        _one_tensor(1, 64, 0, 0) + bytes(9),
    ],
)
def test_a_gguf_that_does_not_fit_its_header_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(BadFile):
        gguf_header.read(tmp_path / "m.gguf")


def test_an_alignment_of_zero_is_refused(tmp_path: Path) -> None:
    gguf(tmp_path / "m.gguf", general__alignment=0)
    assert "impossible alignment" in refusal(tmp_path / "m.gguf")


@given(at=st.integers(0, 300), byte=st.integers(0, 255))
def test_no_changed_byte_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    for write, read in ((gguf, gguf_header.read), (safetensors, safetensors_header.read)):
        raw = bytearray(write(folder / "whole").read_bytes())
        raw[at % len(raw)] = byte
        (folder / "changed").write_bytes(raw)
        try:
            read(folder / "changed")
        except BadFile:
            continue


def test_a_header_full_of_texts_is_read_to_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_header, "LARGEST_HEADER", 4 << 20)
    raw = _ONE_KEY + _array(8, 600_000) + bytes(600_000 * 8)
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(BadFile, match="header is too long"):
        gguf_header.read(tmp_path / "m.gguf")


# Folders -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.CKPT", "x.pkl", "x.joblib", "x.npz", "x.pth"]
)
def test_pickles_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (folder(tmp_path / "m") / name).write_bytes(b"x")
    assert "may run code when it is loaded" in refusal(tmp_path / "m")


@pytest.mark.parametrize("name", ["config.json", "a.txt", "tokenizer.model", "README", "b.jinja"])
def test_pickles_are_refused_under_every_name(tmp_path: Path, name: str) -> None:
    where = folder(tmp_path / "m")
    for protocol in range(2, 6):
        (where / name).write_bytes(pickle.dumps({"x": 1}, protocol))
        assert "an archive or a pickle" in refusal(where)
    with zipfile.ZipFile(where / name, "w") as packed:
        packed.writestr("data.pkl", b"x")
    assert "an archive or a pickle" in refusal(where)


@pytest.mark.parametrize("kind", [VersionKind.ADAPTER, VersionKind.FULL])
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter/adapter_config.json"])
@pytest.mark.parametrize("peft_type", ["XLORA", "SHADOW", "MULTITASK_PROMPT_TUNING"])
def test_an_adapter_that_names_other_files_is_refused(
    tmp_path: Path, name: str, kind: VersionKind, peft_type: str
) -> None:
    """peft would open them: folders of this machine, or of other tenants."""
    where = safetensors(tmp_path / "m" / "adapter_model.safetensors").parent
    (where / name).parent.mkdir(exist_ok=True)
    settings = {"peft_type": peft_type, "adapters": {"0": "/srv/others/adapter"}}
    (where / name).write_text('{"peft_type": "LORA", ' + json.dumps(settings)[1:])
    assert f"{name} is an adapter of the type {peft_type}, which names" in refusal(where, kind)


@pytest.mark.parametrize("config", ['{"peft_type": "LORA"}', "[]", '{"peft_type": ["XLORA"]}'])
def test_other_settings_of_adapters_are_taken(tmp_path: Path, config: str) -> None:
    where = safetensors(tmp_path / "m" / "adapter_model.safetensors").parent
    (where / "adapter_config.json").write_text(config)
    assert len(contents.read(where, VersionKind.ADAPTER).files) == 2


@pytest.mark.parametrize("name", ["model.py", "run.sh", "lib.so", "model.onnx", "model.h5", "x"])
def test_what_is_neither_weights_nor_text_is_refused(tmp_path: Path, name: str) -> None:
    (folder(tmp_path / "m") / name).write_bytes(b"x")
    assert "neither weights" in refusal(tmp_path / "m")


@pytest.mark.parametrize("name", ["-rf", "a\nb", "a b.", "‮gpj.json", "a" * 300 + ".json", "CON?"])
def test_poisoned_names_are_refused(tmp_path: Path, name: str) -> None:
    where = folder(tmp_path / "m")
    try:
        (where / name).write_bytes(b"{}")
    except OSError:
        pytest.skip("this disk has no such names")
    assert "is no name" in refusal(where)


def test_links_are_refused(tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    (where / "secret.json").symlink_to("/etc/passwd")
    assert "symbolic link" in refusal(where)
    (tmp_path / "link").symlink_to(where)
    assert "symbolic link" in refusal(tmp_path / "link")


def test_names_that_differ_by_case_are_refused(tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    (where / "CONFIG.json").write_text("{}")
    assert "upper and lower case" in refusal(where)


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "no safetensors or GGUF" in refusal(tmp_path)
    assert contents.read(tmp_path, VersionKind.CALIBRATOR).format == "json"


def test_texts_are_texts(tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    (where / "config.json").write_text("{")
    assert "config.json is not JSON" in refusal(where)
    (where / "config.json").write_text("{}")
    (where / "merges.txt").write_bytes(b"\xff")
    assert "merges.txt is not UTF-8" in refusal(where)


def test_too_many_folders_in_each_other_are_refused(tmp_path: Path) -> None:
    folder(tmp_path / "m" / "a" / "b" / "c" / "d" / "e")
    assert "too many folders" in refusal(tmp_path / "m")


def test_too_many_files_in_many_folders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MOST_FILES", 20)
    where = folder(tmp_path / "m")
    for number in range(30):
        (where / f"part-{number // 10}").mkdir(exist_ok=True)
        (where / f"part-{number // 10}" / f"{number}.txt").touch()
    assert "files, or too many folders" in refusal(where)


def test_a_text_of_json_is_checked_without_its_values(tmp_path: Path) -> None:
    """64 MiB of empty lists would be gigabytes of values."""
    where = folder(tmp_path / "m")
    (where / "tokenizer.json").write_bytes(b"[" + b"[]," * 700_000 + b"[]]")
    tracemalloc.start()
    try:
        contents.read(where, BASE)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    (where / "tokenizer.json").write_bytes(b"[" * 100_000)
    assert "tokenizer.json is not JSON" in refusal(where)
