"""Sets that are large, interrupted, or made to do harm."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.trainer.data.test_preparing import chat, prepare, report, rows, sentence, write
from tests.trainer.process import order
from trainer.refusals import Exit, Refusal

pytestmark = pytest.mark.unit


def code_of(folder: Path, path: Path, **parameters: object) -> str:
    with pytest.raises(Refusal) as refusal:
        prepare(folder, path, **parameters)
    assert refusal.value.ending == Exit.BAD_DATA
    return refusal.value.code


def archive(path: Path, members: dict[str, bytes | str], *, packed: bool = True) -> Path:
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_an_archive_is_read_without_unpacking_it(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "set.zip",
        {"b/c.jsonl": chat("a", "b"), "a.md": f"# One\n\n{sentence(1)}", "x.exe": b"MZ"},
    )
    run = prepare(tmp_path / "out", path, held_out=0)
    assert [set(row) for row in rows(run)] == [{"text"}, {"messages"}]
    assert sorted(file.name for file in (tmp_path / "out").rglob("*") if file.is_file()) == [
        "events.jsonl",
        "held_out.jsonl",
        "order.json",
        "report.json",
        "train.jsonl",
    ]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb.zip", {"a.txt": b"0" * 30_000_000})
    assert path.stat().st_size < 100_000
    assert code_of(tmp_path, path) == "zip_bomb"


def test_an_archive_that_lies_about_its_sizes_yields_no_more_than_it_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "liar.zip", {"a.txt": b"word " * 2_000_000})
    data = path.read_bytes()
    lie = (5_000).to_bytes(4, "little")
    path.write_bytes(data.replace((10_000_000).to_bytes(4, "little"), lie))
    assert code_of(tmp_path, path) in ("bad_archive", "zip_bomb")


@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/a.txt", "a/../../b.txt", "..\\a.txt", "C:\\a.txt"]
)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    assert code_of(tmp_path, archive(tmp_path / "set.zip", {name: "text"})) == "bad_name"


def test_links_and_archives_in_an_archive_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert code_of(tmp_path / "a", tmp_path / "link.zip") == "bad_name"
    nested = archive(tmp_path / "nested.zip", {"inner.zip": b"PK"})
    assert code_of(tmp_path / "b", nested) == "nested_archive"


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "set.zip", {"a.jsonl": chat("a", "b") * 100}, packed=False)
    data = path.read_bytes()
    path.write_bytes(data[:60] + b"\xff" * 40 + data[100:])
    assert code_of(tmp_path, path) == "bad_archive"


_MEASURED = """
import resource, sys
from pathlib import Path
from trainer.__main__ import main
code = main(sys.argv[1:], sys.stderr)
print(int(code), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mb(folder: Path, path: Path) -> float:
    """Returns the most memory that a preparation takes, in a process of its own."""
    file = order(folder, "prepare", data={"train": str(path)}, parameters={"deduplicate": False})
    process = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(file)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    code, peak = process.stdout.split()
    assert code == "0", (folder / "output/events.jsonl").read_text()[-500:]
    return int(peak) / 1024


@pytest.mark.slow(seconds=60)
def test_memory_does_not_grow_with_the_set_nor_with_a_line_of_50_mb(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    write(small / "set.jsonl", *(json.dumps({"text": sentence(n)}) for n in range(100)))
    with (large / "set.jsonl").open("w") as file:
        for number in range(10_000):
            file.write(json.dumps({"text": sentence(number)}) + "\n")
        file.write('{"text": "' + "x" * 50_000_000 + '"}\n')
        file.write(chat("last", "line") + "\n")
    assert peak_mb(large, large / "set.jsonl") < peak_mb(small, small / "set.jsonl") + 30
    written = json.loads((large / "output" / "report.json").read_text())
    assert written["left_out"] == {"line_too_long": 1}
    assert written["documents"] == 10_001


def start(folder: Path, path: Path) -> "subprocess.Popen[bytes]":
    file = order(folder, "prepare", data={"train": str(path)}, parameters={"held_out": 20})
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen([sys.executable, "-m", "trainer", str(file)], env=environment)


def wait_for(folder: Path, size: int) -> None:
    """Waits until so many bytes are written."""
    path, give_up = folder / "output" / "train.jsonl", time.monotonic() + 100
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.mark.slow(seconds=60)
def test_a_preparation_that_was_paused_and_killed_ends_as_one_that_ran_through(
    tmp_path: Path,
) -> None:
    lines = [json.dumps({"text": sentence(n % 900)}) for n in range(1200)]
    path = write(tmp_path / "set.jsonl", *lines)
    whole = prepare(tmp_path / "whole", path, held_out=20)
    cut = tmp_path / "cut"
    cut.mkdir()
    for how, code, size in ((signal.SIGTERM, 75, 20_000), (signal.SIGKILL, -9, 60_000)):
        process = start(cut, path)
        wait_for(cut, size)
        process.send_signal(how)
        assert process.wait(60) == code
        shutil.rmtree(cut / "output")  # another host has the checkpoints alone
    assert start(cut, path).wait(100) == 0
    assert [each.name for each in (cut / "checkpoints").iterdir()] == ["step-000001"]
    for name in ("train.jsonl", "held_out.jsonl", "report.json"):
        assert (cut / "output" / name).read_bytes() == (whole.output / name).read_bytes(), name
    assert report(whole)["copies"] == 300


def test_a_preparation_whose_data_lost_rows_meanwhile_begins_anew(tmp_path: Path) -> None:
    """The rows of an erased person do. A count of lines would pass over others."""
    lines = [json.dumps({"text": sentence(n)}) for n in range(900)]
    path, cut = write(tmp_path / "set.jsonl", *lines), tmp_path / "cut"
    cut.mkdir()
    process = start(cut, path)
    wait_for(cut, 20_000)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    write(path, *lines[2:])
    whole = prepare(tmp_path / "whole", path, held_out=20)
    assert start(cut, path).wait(100) == 0
    for name in ("train.jsonl", "held_out.jsonl", "report.json"):
        assert (cut / "output" / name).read_bytes() == (whole.output / name).read_bytes(), name
    assert '"fewer_rows"' in (cut / "output" / "events.jsonl").read_text()
    assert not list((cut / "checkpoints").iterdir())


def test_a_full_disk_ends_with_its_code_and_the_checkpoint_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: EFBIG is written as ENOSPC is."""
    path = write(tmp_path / "set.jsonl", *(json.dumps({"text": sentence(n)}) for n in range(2000)))
    file = order(tmp_path, "prepare", data={"train": str(path)})
    process = subprocess.run(
        [sys.executable, "-m", "trainer", str(file)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        timeout=100,
        check=False,
        capture_output=True,
    )
    assert process.returncode == 73
    last = (tmp_path / "output/events.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["code"] == "disk_full"
