"""The files of a version's folder, checked by name and by content.

Weights are safetensors or GGUF. Beside them stand texts that engines and people read. What could
run code when it is loaded, such as a pickle, is refused, whatever its name is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from inference.model_registry.headers import gguf, safetensors
from inference.model_registry.headers.header import BadFile, Header
from inference.models import VersionFormat, VersionKind
from infrastructure.objects.content import digest_of

MOST_FILES, DEEPEST = 2_000, 4
_TOO_MANY = f"there are more than {MOST_FILES} files, or too many folders"
LARGEST_TEXT = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+=@-]{0,199}")
WEIGHTS = {".safetensors": safetensors.read, ".gguf": gguf.read}
TEXTS = (".json", ".txt", ".md", ".jinja", ".model", ".jsonl", ".yaml", ".yml")
_TEXT_NAMES = ("license", "licence", "notice", "copying", "use_policy", "readme")
_PICKLES = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".joblib",
    ".npy",
    ".npz",
    ".pdparams",
)
_LEFT_OUT = (".git", ".gitattributes", ".gitignore", ".cache", ".DS_Store")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_LFS_POINTER = b"version https://git-lfs"
_ADAPTER_SETTINGS = "adapter_config.json"
# Types of adapters whose settings name other folders and files, which peft opens as it loads them.
_NAME_OTHERS = ("XLORA", "SHADOW", "MULTITASK_PROMPT_TUNING")


@dataclass(frozen=True, slots=True)
class CheckedFile:
    name: str  # with its folders
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    files: list[CheckedFile]
    format: str
    header: Header

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def read(folder: Path, kind: VersionKind) -> Contents:
    """Check a folder, or a single file of weights. Raises BadFile, OSError."""
    paths = _paths(folder)
    main = _format(paths, kind)
    header = Header()
    for name, path in paths.items():
        part = _checked(name, path)
        if part and path.suffix.lower() == f".{main}":
            header += part
    return Contents([_hashed(name, path) for name, path in paths.items()], main, header)


def _format(paths: dict[str, Path], kind: VersionKind) -> str:
    """Returns the format of the weights. An adapter may stand there in both, for both engines."""
    formats = sorted({path.suffix.lower() for path in paths.values()} & WEIGHTS.keys())
    if not formats and kind == VersionKind.CALIBRATOR and paths:
        return VersionFormat.JSON
    if not formats:
        raise BadFile("there is no safetensors or GGUF file")
    if len(formats) > 1 and kind != VersionKind.ADAPTER:
        raise BadFile("there are safetensors and GGUF files: register them apart")
    return formats[-1].removeprefix(".")


def _hashed(name: str, path: Path) -> CheckedFile:
    return CheckedFile(name, path, path.stat().st_size, digest_of(path))


def _paths(folder: Path) -> dict[str, Path]:
    """Returns the files by their names. Raises BadFile."""
    if folder.is_symlink() or not folder.exists():
        raise BadFile(f"there is no folder {folder.name!r}, or it is a symbolic link")
    if folder.is_file():
        check_name(folder.name)
    files = [folder] if folder.is_file() else sorted(islice(_walked(folder, 0), MOST_FILES + 1))
    if len(files) > MOST_FILES:
        raise BadFile(_TOO_MANY)
    root = folder.parent if folder.is_file() else folder
    paths = {path.relative_to(root).as_posix(): path for path in files}
    if len({name.casefold() for name in paths}) < len(paths):
        raise BadFile("two files differ by upper and lower case alone")
    return paths


def _walked(folder: Path, depth: int) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_left_out(path.name):
            continue
        if depth >= DEEPEST:
            raise BadFile(_TOO_MANY)
        check_name(path.name)
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise BadFile(f"{path.name} is a symbolic link or no plain file")
        if path.is_dir():
            yield from _walked(path, depth + 1)
        else:
            yield path


def is_left_out(name: str) -> bool:
    """Returns whether a file or folder is none of the model's, such as .git."""
    return name in _LEFT_OUT


def check_name(name: str) -> None:
    """Check a file's or folder's name, without its folders. Raises BadFile."""
    if not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise BadFile(f"{name[:60]!r} is no name for a file of a model")


def _checked(name: str, path: Path) -> Header | None:
    suffix = path.suffix.lower()
    if is_lfs_pointer(path):
        raise BadFile(
            f"{name} is a pointer of Git LFS without its content: run `git lfs pull` first, or "
            "import the file by https"
        )
    if read_header := WEIGHTS.get(suffix):
        return read_header(path)
    if suffix in _PICKLES:
        raise BadFile(
            f"{name} may run code when it is loaded: convert it to safetensors, or leave it out"
        )
    if suffix not in TEXTS and not name.lower().startswith(_TEXT_NAMES):
        raise BadFile(f"{name} is neither weights in safetensors or GGUF nor a text: leave it out")
    _check_text(name, path)
    return None


def is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as content:
        return content.read(len(_LFS_POINTER)) == _LFS_POINTER


def _check_text(name: str, path: Path) -> None:
    if path.stat().st_size > LARGEST_TEXT:
        raise BadFile(f"{name} has more than {LARGEST_TEXT >> 20} MiB, too much for a text")
    raw = path.read_bytes()
    if raw.startswith((_ZIP, _PICKLE)):
        raise BadFile(f"{name} is an archive or a pickle under another name")
    if path.suffix == ".model":  # of SentencePiece: a protocol buffer, which no reader executes
        return
    try:
        raw.decode()
        if path.suffix == ".json":
            msgspec.json.decode(raw, type=msgspec.Raw)  # no values, which take forty times the room
    except (ValueError, RecursionError):
        kind = "JSON" if path.suffix == ".json" else "UTF-8"
        raise BadFile(f"{name} is not {kind}") from None
    if path.name == _ADAPTER_SETTINGS:
        _check_adapter(name, raw)


class _AdapterSettings(msgspec.Struct):
    peft_type: Any = None


def _check_adapter(name: str, settings: bytes) -> None:
    try:
        kind = msgspec.json.decode(settings, type=_AdapterSettings).peft_type
    except msgspec.DecodeError:  # no object: nobody loads it
        return
    if kind in _NAME_OTHERS:
        raise BadFile(
            f"{name} is an adapter of the type {kind}, which names other files that would be "
            "opened with it: merge them into a plain LoRA"
        )
