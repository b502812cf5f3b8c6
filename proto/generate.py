"""Makes inference/api/grpc/stubs/ from the files here: `make stubs`.

With the pinned grpcio-tools of requirements/dev.txt. Nobody edits what it makes.
"""

import shutil
import sys
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
STUBS = PROTO.parent / "inference" / "api" / "grpc" / "stubs"


def generate(folder: Path) -> None:
    """Messages alone: the services are our own (inference/api/grpc/methods.py)."""
    files = sorted(PROTO.rglob("*.proto"))
    names = [str(file.relative_to(PROTO)) for file in files]
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--pyi_out={folder}", *names]
    if protoc.main(arguments):
        sys.exit("protoc failed")
    for package in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        (package / "__init__.py").touch()


if __name__ == "__main__":
    shutil.rmtree(STUBS, ignore_errors=True)
    STUBS.mkdir()
    generate(STUBS)
