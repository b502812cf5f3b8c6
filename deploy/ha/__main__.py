"""Write the files of each host of a cluster: `python -m deploy.ha cluster.yml OUT [SECRETS]`.

Passwords are made once and kept in OUT/passwords.yml. Those of the administrator and of Valkey come
from SECRETS, the folder of the Ansible collection's secrets, if it is named.
"""

import os
import sys
from pathlib import Path

import yaml

from deploy.ha import rendering

_ARGUMENTS = (3, 4)
_SECRETS = {"postgres": "administrators_password", "valkey": "valkey_password"}


def main(cluster: Path, folder: Path, secrets: Path | None = None) -> None:
    """Raises Unsafe, or OSError where a secret is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hosts = yaml.safe_load(cluster.read_text())
    passwords = _passwords(folder / "passwords.yml", secrets)
    values = rendering.variables(hosts, passwords)
    inventory = rendering.inventory(values, folder.resolve())
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    for file in rendering.files(values):
        path = folder / (file.host or "platform") / file.name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(file.text)
        path.chmod(0o600)


def _passwords(file: Path, secrets: Path | None) -> dict[str, str]:
    if not file.exists():
        shared = {
            name: (secrets / secret).read_text().strip()
            for name, secret in _SECRETS.items()
            if secrets
        }
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            yaml.safe_dump(rendering.new_passwords() | shared, new)
    passwords: dict[str, str] = yaml.safe_load(file.read_text())
    return passwords


if __name__ == "__main__":
    if len(sys.argv) not in _ARGUMENTS:
        sys.exit("usage: python -m deploy.ha CLUSTER.yml OUT [SECRETS]")
    try:
        main(*map(Path, sys.argv[1:]))
    except (rendering.Unsafe, OSError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
