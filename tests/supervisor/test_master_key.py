"""The platform does not start over keys that are not its own, and says what to do in one line."""

import base64
from pathlib import Path

import pytest

from tests import prepared
from tests.supervisor.conftest import Start
from tests.supervisor.running import HOSTED, refused

pytestmark = pytest.mark.e2e
TWO = base64.b64encode(bytes([2]) * 32).decode()


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
def test_a_wrong_or_missing_master_key(home: Path, start: Start) -> None:
    prepared.home(home)  # there are keys in its database, and a secret, under its first key
    secrets = home / "secrets"
    one = (secrets / "master.key").read_text().strip()
    (secrets / "master.key").unlink()  # as where it comes by the variable
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
    start(FOREBAY_MASTER_KEY=TWO, FOREBAY_MASTER_KEYS_OLD=one).line("wrong platform secret")
    (secrets / "platform.secret").unlink()
    start(FOREBAY_MASTER_KEY=one).ready().end()
