"""`forebay demo service`: its content, and the model that it makes of the bundled one."""

from pathlib import Path

import pytest

from config.demo import sentence_model
from config.demo.customer_service import assistant_spec, own_pages
from config.supervisor.engines.embedded_engine import bundled_model
from inference.assistants import checks
from inference.model_registry.headers import gguf

pytestmark = pytest.mark.unit
MEAN = 1


def test_the_assistant_passes_the_checks_of_assistants() -> None:
    spec = assistant_spec("m", "6f2c1e1e-0f55-4f5e-9d3c-0a51b0f6a111")
    checks.check(spec)
    assert spec.actions == []


def test_the_pages_are_forebays_own() -> None:
    pages = own_pages()
    assert "api/dialogues.md" in pages
    assert all(page.content for page in pages.values())


def test_the_first_layers_of_the_bundled_model_are_a_model_for_embeddings(tmp_path: Path) -> None:
    file = tmp_path / "sentences.gguf"
    sentence_model.write(bundled_model(), file)
    whole, header = gguf.read(bundled_model()), gguf.read(file)
    assert (header.pooling, header.architecture) == (MEAN, whole.architecture)
    assert 0.25 < header.parameters / whole.parameters < 0.4
    assert list(tmp_path.iterdir()) == [file]
