"""Write the files of each host of a cluster: `python -m deploy.ha cluster.yml OUT`.

Passwords are made once and kept in OUT/passwords.yml.
"""

import os
import sys
from pathlib import Path

import yaml

from deploy.ha import rendering


def main(cluster: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hosts = yaml.safe_load(cluster.read_text())
    for file in rendering.files(rendering.variables(hosts, _passwords(folder / "passwords.yml"))):
        path = folder / (file.host or "platform") / file.name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(file.text)
        path.chmod(0o600)


def _passwords(file: Path) -> dict[str, str]:
    if not file.exists():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            yaml.safe_dump(rendering.new_passwords(), new)
    passwords: dict[str, str] = yaml.safe_load(file.read_text())
    return passwords


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m deploy.ha CLUSTER.yml OUT")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except rendering.Unsafe as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
