"""Every picture that README and docs show is one that `make screenshots` takes."""

import re
from pathlib import Path

import pytest
from PIL import Image

from config.environment import PROJECT
from docs.screenshots.pictures import FOLDER, HEIGHT, PICTURES, WIDTH
from tests.docs.blocks import PAGES

pytestmark = pytest.mark.unit
SHOWN = re.compile(r"!\[[^\]]*\]\(([^)]+\.(?:png|webp|jpe?g))\)")
MOST_BYTES, MOST_BYTES_TOGETHER = 300_000, 1_500_000
FILES = {FOLDER / f"{picture.name}.png" for picture in PICTURES}


def test_pages_show_the_pictures_that_the_command_takes_and_no_others() -> None:
    pages = [(page, name) for page in PAGES for name in SHOWN.findall(page.read_text())]
    assert {(page.parent / name).resolve() for page, name in pages} == FILES


def test_they_are_there_in_one_size_and_small() -> None:
    assert {path.resolve() for path in FOLDER.glob("*.png")} == FILES
    assert {size_of(path) for path in FILES} == {(WIDTH, HEIGHT)}
    sizes = [path.stat().st_size for path in FILES]
    assert max(sizes) <= MOST_BYTES
    assert sum(sizes) <= MOST_BYTES_TOGETHER


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_the_chinese_readme_shows_pages_in_chinese() -> None:
    names = SHOWN.findall((PROJECT / "README.zh-CN.md").read_text())
    languages = {f"docs/images/{picture.name}.png": picture.language for picture in PICTURES}
    assert [languages[name] for name in names] == ["zh-hans", "zh-hans"]
