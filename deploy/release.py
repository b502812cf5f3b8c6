"""python -m deploy.release [--folder dist] [--key FILE | --unsigned]: what a release consists of.

The wheel and the source archive of the commit that is checked out, Helm's chart, the image that
`make image` made of it, a bill of materials (CycloneDX), SHA256SUMS over all of them, and a
signature of that file: by sigstore where its client is installed and reachable, else with an SSH
key (`--key`; verify with `ssh-keygen -Y verify`). docs/operations/upgrade.md says what comes before
and after.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import packed

PROJECT = Path(__file__).resolve().parent.parent
NAMESPACE = "forebay-release"  # of the SSH signature
SUMS = "SHA256SUMS"
_PARTS = ("*.whl", "*.tar.gz", "*.tgz", "sbom.cdx.json", f"{SUMS}*")


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=PROJECT / "dist")
    parser.add_argument("--key", type=Path, help="an SSH key to sign with")
    parser.add_argument("--unsigned", action="store_true", help="for a trial")
    options = parser.parse_args(words)
    version = check(trial=options.unsigned)
    empty(options.folder)
    build(options.folder)
    bill(options.folder)
    packed.chart(PROJECT / "deploy" / "kubernetes" / "chart" / "forebay", version, options.folder)
    problem = packed.image(version, git("rev-parse", "HEAD").strip(), options.folder)
    if problem and not options.unsigned:
        sys.exit(f"release: {problem}")
    write_sums(options.folder)
    if not options.unsigned:
        sign(options.folder / SUMS, options.key)
    print(f"Forebay {version} in {options.folder}:")
    if problem:
        print(f"  without the image: {problem}")
    for path in sorted(options.folder.iterdir()):
        print(f"  {path.name}  {path.stat().st_size:,} bytes")


def check(*, trial: bool) -> str:
    """Returns the version, which must have its tag here and its chapter in CHANGELOG.md."""
    text = (PROJECT / "infrastructure" / "release.py").read_text()
    (version,) = re.findall(r'^VERSION = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    if trial:
        return str(version)
    if git("status", "--porcelain"):
        sys.exit("release: the folder has changes that are in no commit: commit them")
    if f"v{version}" not in git("tag", "--points-at", "HEAD").split():
        sys.exit(f"release: this commit has no tag v{version}: git tag -s v{version}")
    if f"\n## [{version}] - " not in (PROJECT / "CHANGELOG.md").read_text():
        sys.exit(f"release: CHANGELOG.md has no chapter [{version}] with a date")
    return str(version)


def empty(folder: Path) -> None:
    """Remove the files of an earlier release from the folder, and refuse one that has others."""
    folder.mkdir(parents=True, exist_ok=True)
    before = list(folder.iterdir())
    if others := [each.name for each in before if not any(map(each.match, _PARTS))]:
        sys.exit(f"release: {folder} has {others[0]} in it, which is of no release: name another")
    for each in before:
        each.unlink()


def build(folder: Path) -> None:
    run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)])


def bill(folder: Path) -> None:
    lock, out = str(PROJECT / "requirements" / "base.txt"), str(folder / "sbom.cdx.json")
    words = ["requirements", lock, "--of", "JSON", "--output-reproducible", "-o", out]
    run([sys.executable, "-m", "cyclonedx_py", *words])


def write_sums(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / SUMS).write_text("".join(lines))


def sign(sums: Path, key: Path | None) -> None:
    if key:
        run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(sums)])
    elif shutil.which("sigstore"):
        run(["sigstore", "sign", "--bundle", f"{sums}.sigstore.json", str(sums)])
    else:
        sys.exit("release: nothing to sign with: pip install sigstore, or --key FILE")


def run(command: Sequence[str]) -> None:
    if subprocess.run(command, cwd=PROJECT).returncode:
        sys.exit(f"release: {' '.join(command[:4])} … failed")


def git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:])
