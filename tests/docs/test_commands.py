"""Every shell command in README and docs is run by a test, or listed with a reason."""

import re

import pytest

from config.environment import PROJECT
from tests.docs.blocks import PAGES, commands, of_text
from tests.docs.covered import RULES, RUN, how

pytestmark = pytest.mark.unit


def test_every_command_is_covered() -> None:
    uncovered = [f"{each.page}: {each.text}" for each in commands() if not how(each.text)]
    assert uncovered == [], "run it in test_documented_commands.py, or list it in covered.py"


def test_every_rule_covers_something() -> None:
    texts = [each.text for each in commands()]
    idle = [
        pattern for pattern, _ in RULES if not any(re.fullmatch(pattern, text) for text in texts)
    ]
    assert idle == []


def test_every_test_that_is_named_is_there() -> None:
    for covers in (each for _, each in RULES if each.startswith("tests/")):
        file, _, name = covers.partition("::")
        assert name
        assert f"def {name}(" in (PROJECT / file).read_text(), covers


def test_the_chinese_readme_has_the_commands_of_the_english_one() -> None:
    of = {page: [each.text for each in commands() if each.page == page] for page in READMES}
    assert of["README.md"] == of["README.zh-CN.md"]


READMES = ("README.md", "README.zh-CN.md")


def test_commands_are_read_as_a_shell_reads_them() -> None:
    page = """
Words, then an example:

    make run

```text
Forebay is starting
```

    # a comment
    make manage ARGS='create_tenant globex \\
        --quota tokens/month=5'
    curl http://127.0.0.1:8000/ \\
        -d '{"a": "b"}'   # and one behind
    $ psql "$DATABASE_URL"

    kind = "vllm"

- a list

    forebay check
"""
    assert [each.text for each in of_text("page", page)] == [
        "make run",
        "make manage ARGS='create_tenant globex --quota tokens/month=5'",
        """curl http://127.0.0.1:8000/ -d '{"a": "b"}'""",
        'psql "$DATABASE_URL"',
        "forebay check",
    ]


def test_it_reads_every_page() -> None:
    assert {"docs/audit.md", "docs/operations/runbooks/gpu-lost.md"} <= {
        str(page.relative_to(PROJECT)) for page in PAGES
    }
    assert len([each for each in commands() if how(each.text) == RUN]) > 20
