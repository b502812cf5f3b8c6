"""A tenant's adapter over the bundled model: registered, promoted under load, rolled back, deleted.

No request of anybody fails meanwhile, and only its tenant gets its answers.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.blocks import commands
from tests.e2e.ask import Record, client, eventually
from tests.e2e.conftest import Platform
from tests.inference.adapters import lora_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
BASE = "smollm2-135m"
SUPPORT = f"{BASE}:support"
PAGE = "docs/models/adapters.md"
QUESTION = [{"role": "user", "content": "Say hello to a heron."}]
REGISTER = """
from pathlib import Path
from inference.model_registry.registering import register
from tenants.models import Tenant
tenant = Tenant.objects.get(name='bench')
folder = Path('{folder}')
print(register(tenant_id=tenant.id, name='tuned', folder=folder, kind='adapter').pk)
"""
ACT = """
from inference.adapters import acts
from inference.models import Adapter, ModelVersion
from tenants.models import Tenant
tenant = Tenant.objects.get(name='bench')
adapter = Adapter.objects.of(tenant).first() or acts.create(tenant, '{base}', 'support', by='test')
{act}
"""


class Adapted(Platform):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        small = {"FOREBAY_SLOTS": "4", "FOREBAY_CONTEXT": "512"}
        super().__init__(folder, variables=small)
        self.stranger = self._stranger()

    def _stranger(self) -> str:
        self.manage("create_tenant", "stranger", "--json")
        made = self.manage("create_api_key", "stranger", "--name", "s", "--json")
        return str(json.loads(made)["api_key"])

    def shell(self, code: str) -> str:
        return self.manage("shell", "-v", "0", "-c", code).strip()

    def registered(self, seed: int) -> str:
        """The id of a new version with random weights."""
        folder = self.folder / f"lora-{seed}"
        folder.mkdir()
        lora_file.write(folder / "adapter.gguf", seed)
        return self.shell(REGISTER.format(folder=folder))

    def act(self, act: str) -> str:
        return self.shell(ACT.format(base=BASE, act=act))

    def promote(self, version: str) -> None:
        named = f"ModelVersion.objects.get(pk='{version}')"
        self.act(f"acts.promote(adapter, {named}, by='test')")

    def step(self, version: str) -> str:
        look = "from inference.models import AdapterPromotion as P\n"
        rows = f"P.objects.filter(version_id='{version}').order_by('-created_at')"
        return self.shell(f"{look}row = {rows}.first()\nprint(row.step, row.reason)")

    def types(self, line: str) -> str:
        """Returns what a command prints that somebody types with URL and KEY."""
        line = line.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        variables = {**os.environ, "URL": self.url, "KEY": self.key}
        return subprocess.check_output(["sh", "-c", line], env=variables, text=True)

    def serves(self, version: str) -> bool:
        return self.step(version).startswith("serving")

    def asked(self, model: str, key: str | None = None, **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": QUESTION, "temperature": 0, "max_tokens": 12, **fields}
        with client(self, key) as asking:
            return asking.post("/v1/chat/completions", json=body)

    def says(self, model: str, key: str | None = None) -> str:
        answer = self.asked(model, key)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def models(self, key: str | None = None) -> list[str]:
        with client(self, key) as asking:
            return [each["id"] for each in asking.get("/v1/models").json()["data"]]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapted]:
    platform = Adapted(tmp_path_factory.mktemp("adapted"))
    yield platform
    platform.stop()


@contextmanager
def asked_all_the_time(platform: Adapted, model: str) -> Iterator[list[str]]:
    """What went wrong while somebody asked without a pause."""
    faults, over = list[str](), threading.Event()

    def ask() -> None:
        while not over.is_set():
            answer = platform.asked(model)
            if answer.status_code != 200:
                faults.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield faults
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow(seconds=90)
def test_a_life_of_an_adapter(adapted: Adapted) -> None:
    base = adapted.says(BASE)
    assert adapted.asked(SUPPORT).status_code == 404
    one, two = adapted.registered(1), adapted.registered(2)
    with asked_all_the_time(adapted, BASE) as faults:
        adapted.promote(one)
        eventually(lambda: adapted.serves(one), 120)
    assert not faults
    eventually(lambda: adapted.asked(SUPPORT).status_code == 200)
    with_one = adapted.says(SUPPORT)
    assert with_one != base
    assert adapted.says(BASE) == base
    (line,) = [each.text for each in commands() if each.page == PAGE and each.program == "curl"]
    assert json.loads(adapted.types(line))["model"] == SUPPORT
    with asked_all_the_time(adapted, SUPPORT) as faults:
        adapted.promote(two)
        eventually(lambda: adapted.serves(two), 120)
    assert not faults
    with_two = eventually(lambda: (said := adapted.says(SUPPORT)) != with_one and said)
    assert with_two not in (base, with_one)
    assert adapted.says(BASE, adapted.stranger) == base
    adapted.act("acts.roll_back(adapter, by='test')")
    eventually(lambda: adapted.says(SUPPORT) == with_one, 30)
    record = adapted.asked(SUPPORT)
    assert record.json()["model"] == SUPPORT
    (usage,) = Record(adapted, record.headers["x-request-id"]).usage()
    assert (usage["model"], usage["adapter"]) == (BASE, "support")
    assert usage["adapter_version"] == "tuned@1"
    assert adapted.models() == [BASE, SUPPORT]
    assert adapted.models(adapted.stranger) == [BASE]
    adapted.act(f"ModelVersion.objects.get(pk='{one}').delete_files(by='test')")
    eventually(lambda: adapted.asked(SUPPORT).status_code == 404, 5)
    assert adapted.says(BASE) == base
