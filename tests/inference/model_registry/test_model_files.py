"""`manage.py model_files`: what a restore of the database alone has not brought back."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from inference.model_registry.registering import register
from inference.models import VersionKind
from tests.inference.model_registry.files import gguf

pytestmark = pytest.mark.django_db(transaction=True)


def printed(*words: str) -> str:
    out = StringIO()
    call_command("model_files", *words, stdout=out)
    return out.getvalue()


def test_versions_without_files_are_named(tmp_path: Path, model_store: Path) -> None:
    file = gguf(tmp_path / "base" / "base.gguf")
    version = register(tenant_id=None, name="base", folder=file, kind=VersionKind.BASE)
    assert json.loads(printed("--json", "--fail")) == {"versions": 1, "without_files": []}
    shutil.rmtree(model_store)
    assert json.loads(printed("--json"))["without_files"] == [str(version)]
    assert printed() == "base@1 has not all of its files\n"
    with pytest.raises(CommandError, match="1 versions have not all of their files"):
        printed("--fail")
