"""The platform does not start over keys that are not its own, and says what to do in one line."""

import base64
from pathlib import Path

import pytest

from tests.supervisor.conftest import Start
from tests.supervisor.running import HOSTED, START_S, eventually, refused

pytestmark = pytest.mark.e2e
ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.mark.slow(seconds=40)
def test_a_wrong_or_missing_master_key(home: Path, start: Start) -> None:
    first = start(FOREBAY_MASTER_KEY=ONE)
    assert eventually(lambda: any("celery" in line for line in first.commands()), START_S)
    first.end()  # there are keys under it, and nobody needs its servers
    secrets = home / "secrets"
    wrong = {"FOREBAY_ENGINES": HOSTED, "FOREBAY_MASTER_KEY": TWO}
    line = refused(home, **wrong)
    assert "wrong master key" in line
    assert "restore FOREBAY_MASTER_KEY" in line
    line = refused(home, FOREBAY_ENGINES=HOSTED)  # the variable was forgotten
    assert f"{secrets}/master.key is missing: restore FOREBAY_MASTER_KEY" in line
    (secrets / "platform.secret").unlink()  # only the database knows now
    line = refused(home, **wrong)
    assert "wrong master key: 1 tenants' keys are under another one" in line
    (secrets / "platform.secret").unlink()
    start(FOREBAY_MASTER_KEY=TWO, FOREBAY_MASTER_KEYS_OLD=ONE).line("wrong platform secret")
    (secrets / "platform.secret").unlink()
    start(FOREBAY_MASTER_KEY=ONE).ready().end()
