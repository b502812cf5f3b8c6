"""The file of bounds is believed only as its owner wrote it."""

import os
from pathlib import Path

import pytest

from config.energy.bounds import BadBounds, read

pytestmark = pytest.mark.unit
ONE_GPU = '[gpus."0"]\nlowest_mhz = 900\nhighest_mhz = 1980\n'


def written(folder: Path, text: str, mode: int = 0o644) -> Path:
    file = folder / "energy.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(BadBounds) as refused:
        read(file, os.geteuid())
    return str(refused.value)


def test_bounds_name_users_and_clocks_and_are_a_dry_run_unless_they_say_otherwise(
    tmp_path: Path,
) -> None:
    bounds = read(written(tmp_path, f"users = [7, 'root']\n{ONE_GPU}"), os.geteuid())

    assert bounds.users == {7, 0}
    assert bounds.dry_run
    assert 900 in bounds.gpus["0"]
    assert 1980 in bounds.gpus["0"]
    assert 899 not in bounds.gpus["0"]
    assert 1981 not in bounds.gpus["0"]


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    assert "chmod go-w" in refusal(written(tmp_path, f"users = [7]\n{ONE_GPU}", mode))


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, f"users = [7]\n{ONE_GPU}")

    with pytest.raises(BadBounds, match="belongs to user"):
        read(file, os.geteuid() + 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "users"),
        ("users = [7]", "gpus"),
        ("users = [7]\n[gpus]", "name a user and a GPU"),
        (f"users = []\n{ONE_GPU}", "name a user and a GPU"),
        (f"users = ['nobody-of-that-name']\n{ONE_GPU}", "no user"),
        (f"users = [7]\nverbs = ['power']\n{ONE_GPU}", "verbs"),
        (f"users = [7]\ndry_run = 'no'\n{ONE_GPU}", "dry_run"),
        ('users = [7]\n[gpus."0"]\nlowest_mhz = 1980\nhighest_mhz = 900\n', "rise"),
        ('users = [7]\n[gpus."0"]\nlowest_mhz = 0\nhighest_mhz = 900\n', "rise"),
        ('users = [7]\n[gpus."0"]\nlowest_mhz = nan\nhighest_mhz = 900\n', "lowest_mhz"),
        ('users = [7]\n[gpus."0"]\nlowest_mhz = 900\n', "highest_mhz"),
        ("users = [7", "energy.toml"),
        ("\x00", "energy.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in refusal(written(tmp_path, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")
    assert "directory" in refusal(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "energy.toml"
    file.write_bytes(b"\xff\xfe\x00")
    file.chmod(0o600)

    assert str(file) in refusal(file)
