"""FOREBAY_HOME/witness in the repository: erasures and checkpoints that no restore may undo.

The files only grow. A restore takes their latest state, whatever moment the database goes back to.
"""

from collections.abc import Iterator

from audit.keys.master_keys import private_file
from config.backup.repository import Repository
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem


class WitnessFiles:
    def __init__(self, repository: Repository, home: Home) -> None:
        self._repository = repository
        self._home = home
        self._folder = home.root / "witness"
        self._stored: dict[str, bytes] = {}

    def ship(self) -> dict[str, int]:
        """Store files that have grown; return how many bytes of each are stored.

        Raises StoreError; RunProblem for a file that has lost lines.
        """
        for file in self._folder.glob("*.jsonl"):
            content = file.read_bytes()
            stored = self._stored_content(file.name)
            if not content.startswith(stored):
                raise RunProblem(f"{file} lacks lines that its backup has: put it back from there")
            if len(content) > len(stored):
                self._repository.put(f"witness/{file.name}", content)
                self._stored[file.name] = content
        return {name: len(content) for name, content in self._stored.items()}

    def take(self) -> list[str]:
        """Bring the files here up to what is stored; return the names of those that changed.

        Raises RunProblem for a file whose lines are others than the stored ones.
        """
        return list(self._take())

    def _take(self) -> Iterator[str]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for name in self._repository.names("witness"):
            file, stored = self._folder / name, self._stored_content(name)
            content = file.read_bytes() if file.exists() else b""
            if content.startswith(stored):
                continue
            if not stored.startswith(content):
                raise RunProblem(f"{file} and its backup differ: move the wrong one away")
            private_file.replace(file, stored.decode())
            yield name

    def _stored_content(self, name: str) -> bytes:
        if name not in self._stored:
            try:
                self._stored[name] = self._repository.get(f"witness/{name}")
            except FileNotFoundError:
                self._stored[name] = b""
        return self._stored[name]
