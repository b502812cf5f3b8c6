"""Master keys in a file, in the environment, in a KMS; wrong and missing ones."""

import base64
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from audit.keys import key_check
from audit.keys.cipher import Unreadable
from audit.keys.keyring import Keyring
from audit.keys.master_keys import MasterKeys, from_environment, platform_secret
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyMissing, MasterKeyProblem
from audit.keys.master_keys.local import EnvKeys
from audit.models import PLATFORM, DataKey
from config.environment import PROJECT
from tests.audit.transit_server import TOKEN, TransitServer, transit

unit = pytest.mark.unit
AAD, KEY = b"audit_datakey|here", bytes(range(32))


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


ONE, TWO, THREE = (bytes([n]) * 32 for n in (1, 2, 3))


@pytest.fixture
def kms() -> Iterator[TransitServer]:
    with transit() as server:
        yield server


def told(server: TransitServer, **more: str) -> dict[str, str]:
    return {
        "FOREBAY_MASTER_KEY_FROM": "kms",
        "FOREBAY_KMS_URL": server.url,
        "FOREBAY_KMS_TOKEN": TOKEN,
        "FOREBAY_KMS_KEY": "forebay",
        **more,
    }


# In the environment ------------------------------------------------------------------------------
@unit
def test_one_from_the_environment(tmp_path: Path) -> None:
    keys = from_environment({"FOREBAY_MASTER_KEY": text(ONE)}, tmp_path)
    by, ciphertext = keys.encrypt(KEY, AAD)
    assert keys.decrypt(by, ciphertext, AAD) == KEY
    assert by == keys.current_id()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unreadable):
        keys.decrypt(by, ciphertext, AAD + b"!")


@unit
def test_older_ones_still_open(tmp_path: Path) -> None:
    by, ciphertext = from_environment({"FOREBAY_MASTER_KEY": text(ONE)}, tmp_path).encrypt(KEY, AAD)
    older = f"{text(THREE)}, {text(ONE)}"
    told = {"FOREBAY_MASTER_KEY": text(TWO), "FOREBAY_MASTER_KEYS_OLD": older}
    keys = from_environment(told, tmp_path)
    assert keys.decrypt(by, ciphertext, AAD) == KEY
    assert keys.current_id() != by
    assert keys.encrypt(KEY, AAD).by == keys.current_id()
    with pytest.raises(MasterKeyMissing):
        from_environment({"FOREBAY_MASTER_KEY": text(TWO)}, tmp_path).decrypt(by, ciphertext, AAD)


@unit
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FOREBAY_MASTER_KEY": "short"}, "must be 32 bytes in base64"),
        ({"FOREBAY_MASTER_KEY": text(b"x" * 31)}, "must be 32 bytes in base64"),
        ({"FOREBAY_MASTER_KEY": text(ONE), "FOREBAY_MASTER_KEYS_OLD": "?"}, "KEYS_OLD"),
        ({"FOREBAY_MASTER_KEY_FROM": "env"}, "FOREBAY_MASTER_KEY is not set"),
        ({"FOREBAY_MASTER_KEY_FROM": "hsm"}, "must be file or env or kms"),
        ({"FOREBAY_MASTER_KEY_FROM": "kms"}, "FOREBAY_KMS_URL is not set"),
        (
            {
                "FOREBAY_MASTER_KEY_FROM": "kms",
                "FOREBAY_KMS_URL": "ftp://kms",
                "FOREBAY_KMS_KEY": "k",
                "FOREBAY_KMS_TOKEN": "t",
            },
            "http:// or https://",
        ),
    ],
)
def test_a_bad_one_is_one_line(variables: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(MasterKeyProblem) as problem:
        from_environment(variables, tmp_path)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


# In a file ---------------------------------------------------------------------------------------
@unit
def test_the_first_start_makes_one(tmp_path: Path) -> None:
    first, again = from_environment({}, tmp_path), from_environment({}, tmp_path)
    by, ciphertext = first.encrypt(KEY, AAD)
    assert again.decrypt(by, ciphertext, AAD) == KEY
    path = tmp_path / "secrets" / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["master.key"]


@unit
def test_a_new_one_is_known_at_once_to_those_that_run(tmp_path: Path) -> None:
    ours, others = from_environment({}, tmp_path), from_environment({}, tmp_path)
    before, sealed_before = others.encrypt(KEY, AAD)
    new = ours.current.renew()
    assert others.current_id() == new != before
    by, ciphertext = ours.encrypt(KEY, AAD)
    assert others.decrypt(by, ciphertext, AAD) == others.decrypt(before, sealed_before, AAD) == KEY
    path = tmp_path / "secrets" / "master.key"
    path.write_text(path.read_text().splitlines()[0])  # the older one is taken out
    with pytest.raises(MasterKeyMissing):
        others.decrypt(before, sealed_before, AAD)


@unit
def test_what_is_in_memory_decrypts_without_the_file(tmp_path: Path) -> None:
    keys = from_environment({}, tmp_path)
    by, ciphertext = keys.encrypt(KEY, AAD)
    file = tmp_path / "secrets" / "master.key"
    content = file.read_text()
    file.unlink()
    assert keys.decrypt_at_once(by, ciphertext, AAD) == KEY
    file.write_text(text(TWO) + "\n" + content)
    later, wrapped = from_environment({}, tmp_path).encrypt(KEY, AAD)
    assert keys.decrypt_at_once(later, wrapped, AAD) is None, "it has not been read yet"
    assert keys.decrypt(later, wrapped, AAD) == KEY
    assert keys.decrypt_at_once(later, wrapped, AAD) == KEY


@unit
def test_a_lost_file_is_not_made_again(tmp_path: Path) -> None:
    keys = from_environment({}, tmp_path)
    platform_secret.read({}, tmp_path, keys)
    (tmp_path / "secrets" / "master.key").unlink()
    with pytest.raises(MasterKeyProblem, match=r"master\.key is missing: restore"):
        from_environment({}, tmp_path)
    with pytest.raises(MasterKeyAway):
        keys.encrypt(KEY, AAD)


# The platform's secret ---------------------------------------------------------------------------
@unit
def test_the_secret_is_the_first_master_key_and_stays(tmp_path: Path) -> None:
    old = from_environment({"FOREBAY_MASTER_KEY": text(ONE)}, tmp_path)
    assert platform_secret.read({}, tmp_path, old) == ONE
    told = {"FOREBAY_MASTER_KEY": text(TWO), "FOREBAY_MASTER_KEYS_OLD": text(ONE)}
    assert platform_secret.read({}, tmp_path, from_environment(told, tmp_path)) == ONE
    new = from_environment({"FOREBAY_MASTER_KEY": text(TWO)}, tmp_path)  # the old one is gone
    assert platform_secret.read({}, tmp_path, new) == ONE
    wrong = from_environment({"FOREBAY_MASTER_KEY": text(THREE)}, tmp_path)
    with pytest.raises(MasterKeyProblem, match="wrong master key"):
        platform_secret.read({}, tmp_path, wrong)


@unit
def test_the_secret_names_the_master_key_that_it_needs(tmp_path: Path) -> None:
    old = from_environment({"FOREBAY_MASTER_KEY": text(ONE)}, tmp_path)
    told = {"FOREBAY_MASTER_KEY": text(TWO), "FOREBAY_MASTER_KEYS_OLD": text(ONE)}
    new = from_environment(told, tmp_path)
    assert platform_secret.is_under(tmp_path, new.current_id()), "there is none yet"
    platform_secret.read({}, tmp_path, old)
    assert platform_secret.is_under(tmp_path, old.current_id())
    assert not platform_secret.is_under(tmp_path, new.current_id())
    platform_secret.rewrap(tmp_path, new)
    assert platform_secret.is_under(tmp_path, new.current_id())


@unit
def test_the_secret_may_come_from_the_environment(tmp_path: Path) -> None:
    keys = from_environment({"FOREBAY_MASTER_KEY": text(TWO)}, tmp_path)
    assert platform_secret.read({"FOREBAY_PLATFORM_SECRET": text(ONE)}, tmp_path, keys) == ONE
    with pytest.raises(MasterKeyProblem, match="FOREBAY_PLATFORM_SECRET"):
        platform_secret.read({"FOREBAY_PLATFORM_SECRET": "x"}, tmp_path, keys)


# In a KMS ----------------------------------------------------------------------------------------
@unit
def test_a_kms_wraps_and_unwraps(kms: TransitServer, tmp_path: Path) -> None:
    keys = from_environment(told(kms), tmp_path)
    by, ciphertext = keys.encrypt(KEY, AAD)
    assert ciphertext.startswith(b"vault:v1:")
    assert KEY not in ciphertext
    assert by == keys.current_id()
    assert from_environment(told(kms), tmp_path).decrypt(by, ciphertext, AAD) == KEY
    with pytest.raises(Unreadable):
        keys.decrypt(by, ciphertext, b"another place")
    with pytest.raises(Unreadable):
        keys.decrypt(by, ciphertext[:-8] + b"AAAAAAA=", AAD)
    for damaged in (ciphertext[:-3], ciphertext[:20], b"vault:v1:", b"something else"):
        asked = len(kms.asked)
        with pytest.raises(Unreadable):
            keys.decrypt(by, damaged, AAD)
        assert len(kms.asked) == asked, "it is not asked what it thinks of that"
    with pytest.raises(MasterKeyMissing):
        keys.decrypt(uuid4(), ciphertext, AAD)


@unit
def test_a_new_version_there_is_a_new_master_key_here(kms: TransitServer, tmp_path: Path) -> None:
    ours, others = from_environment(told(kms), tmp_path), from_environment(told(kms), tmp_path)
    before, old = ours.encrypt(KEY, AAD)
    new = ours.current.renew()
    by, ciphertext = ours.encrypt(KEY, AAD)
    assert new == by != before
    assert ciphertext.startswith(b"vault:v2:")
    assert others.decrypt(by, ciphertext, AAD) == others.decrypt(before, old, AAD) == KEY
    kms.oldest = 2
    with pytest.raises(MasterKeyAway, match="disallowed by policy"):
        others.decrypt(before, old, AAD)
    kms.oldest = 1  # somebody allows it again
    assert others.decrypt(before, old, AAD) == KEY


@unit
def test_a_hiccup_is_tried_again(kms: TransitServer, tmp_path: Path) -> None:
    keys = from_environment(told(kms), tmp_path)
    kms.failures = 2
    by, ciphertext = keys.encrypt(KEY, AAD)
    assert keys.decrypt(by, ciphertext, AAD) == KEY


@unit
def test_a_kms_that_is_sealed_or_gone_is_away_not_lost(tmp_path: Path) -> None:
    with transit() as kms:
        keys = from_environment(told(kms), tmp_path)
        by, ciphertext = keys.encrypt(KEY, AAD)
        kms.ciphertext = True
        with pytest.raises(MasterKeyAway, match="503: Vault is encrypted"):
            keys.decrypt(by, ciphertext, AAD)
        kms.ciphertext = False
        assert keys.decrypt(by, ciphertext, AAD) == KEY
    with pytest.raises(MasterKeyAway, match="does not answer"):
        keys.decrypt(by, ciphertext, AAD)


@unit
def test_a_token_that_is_not_good(kms: TransitServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s.expired\n")
    by_file = {"FOREBAY_KMS_TOKEN": "", "FOREBAY_KMS_TOKEN_FILE": str(file)}
    keys = from_environment(told(kms, **by_file), tmp_path)
    with pytest.raises(MasterKeyAway, match="403: permission denied"):
        keys.encrypt(KEY, AAD)
    assert len(kms.asked) == 1, "a refusal is not tried again"
    file.write_text(TOKEN)  # somebody renewed it
    assert keys.decrypt(*keys.encrypt(KEY, AAD), AAD) == KEY


@unit
def test_from_the_environment_to_a_kms_and_back(kms: TransitServer, tmp_path: Path) -> None:
    raw = from_environment({"FOREBAY_MASTER_KEY": text(ONE)}, tmp_path)
    by, ciphertext = raw.encrypt(KEY, AAD)
    moved = from_environment(told(kms, FOREBAY_MASTER_KEYS_OLD=text(ONE)), tmp_path)
    assert moved.decrypt(by, ciphertext, AAD) == KEY
    there, wrapped = moved.encrypt(KEY, AAD)
    calls = len(kms.asked)
    assert moved.decrypt_at_once(by, ciphertext, AAD) == KEY
    assert moved.decrypt_at_once(there, wrapped, AAD) is None
    assert len(kms.asked) == calls, "what is decrypted here asks no KMS"
    back = told(kms, FOREBAY_MASTER_KEY_FROM="env", FOREBAY_MASTER_KEY=text(TWO))
    assert from_environment(back, tmp_path).decrypt(there, wrapped, AAD) == KEY


@pytest.mark.django_db(transaction=True)
def test_tenants_keys_under_a_kms(kms: TransitServer, settings: Any, tmp_path: Path) -> None:
    settings.MASTER_KEYS = from_environment(told(kms), tmp_path)
    acme, alice = uuid4(), uuid4()
    ciphertext = Keyring().of_subject_now(acme, alice).encrypt(b"a prompt", AAD)
    asked = len(kms.asked)
    ring = Keyring()
    assert ring.of_subject_now(acme, alice).decrypt(ciphertext, AAD) == b"a prompt"
    ring.of_subject_now(acme, uuid4())
    assert len(kms.asked) - asked <= 2, "a tenant's key is unwrapped once in a process"
    kms.ciphertext = True
    assert ring.of_subject_now(acme, alice).decrypt(ciphertext, AAD) == b"a prompt"
    with pytest.raises(MasterKeyAway):
        Keyring().of_subject_now(acme, alice)


# At the start ------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_right_keys_start(settings: Any) -> None:
    assert key_check.startup_problem() == ""
    Keyring().of_subject_now(uuid4(), uuid4())
    assert key_check.startup_problem() == ""
    call_command("check_keys")


@pytest.mark.django_db(transaction=True)
def test_a_wrong_master_key_is_one_clear_line(settings: Any) -> None:
    """Even of an installation in which nobody has done anything yet."""
    assert key_check.startup_problem() == ""
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    with pytest.raises(CommandError) as problem:
        call_command("check_keys")
    line = str(problem.value)
    assert line.startswith("wrong master key: 1 tenants' keys are under another one")
    assert "restore FOREBAY_MASTER_KEY" in line
    assert "\n" not in line
    assert DataKey.objects.filter(tenant_id=PLATFORM).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_master_key_taken_out_too_early(settings: Any) -> None:
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    assert key_check.startup_problem() == ""
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]), EnvKeys([ONE]))
    Keyring().of_subject_now(uuid4(), None)
    assert key_check.startup_problem() == ""
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]))
    assert "FOREBAY_MASTER_KEYS_OLD until" in key_check.startup_problem()


@pytest.mark.django_db(transaction=True)
def test_one_damaged_row_keeps_nothing_shut(settings: Any) -> None:
    assert key_check.startup_problem() == ""
    for _ in range(3):
        Keyring().of_subject_now(uuid4(), None)
    damaged = DataKey.objects.exclude(tenant_id=PLATFORM).order_by("id").first()
    assert damaged
    DataKey.objects.filter(pk=damaged.pk).update(wrapped=bytes(60))
    assert key_check.startup_problem() == ""


@pytest.mark.django_db(transaction=True)
def test_another_secret_is_found_out(settings: Any) -> None:
    assert key_check.startup_problem() == ""
    settings.SECRET_CHECK = ONE
    assert key_check.startup_problem().startswith("wrong platform secret")


@pytest.mark.django_db(transaction=True)
def test_a_kms_that_is_away_at_the_start(kms: TransitServer, settings: Any, tmp_path: Path) -> None:
    settings.MASTER_KEYS = from_environment(told(kms), tmp_path)
    assert key_check.startup_problem() == ""
    kms.ciphertext = True
    said = key_check.startup_problem()
    assert said == "the master key is unavailable: the KMS answered 503: Vault is encrypted"


@unit
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FOREBAY_MASTER_KEY": "nonsense"}, "the master key must be 32 bytes in base64"),
        ({"FOREBAY_MASTER_KEY": text(TWO)}, "wrong master key: "),
    ],
)
def test_every_process_says_so_in_one_line(
    variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    home = {"FOREBAY_HOME": str(tmp_path), "PATH": ""}
    show = [sys.executable, "-c", "import config.settings as s; print(s.API_KEY_PEPPER.hex())"]

    def started(**more: str) -> "subprocess.CompletedProcess[str]":
        env = {**home, **more}
        return subprocess.run(
            show, env=env, cwd=PROJECT, capture_output=True, text=True, check=False
        )

    first = started(FOREBAY_MASTER_KEY=text(ONE))
    assert first.returncode == 0, first.stderr
    ended = started(**variables)
    assert ended.returncode == 1
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1
    exchanged = started(FOREBAY_MASTER_KEY=text(TWO), FOREBAY_MASTER_KEYS_OLD=text(ONE))
    assert exchanged.stdout == first.stdout, "API keys hold on"
    assert started(FOREBAY_MASTER_KEY=text(TWO)).stdout == first.stdout
