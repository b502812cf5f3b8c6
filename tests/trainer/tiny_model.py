"""A Llama with random weights that a test trains in seconds, and its tokenizer."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WIDTH, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, WORDS = 32, 64, 4, 4, 2, 400
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "the basin in front of the turbines takes whatever the river brings",
    "a queue holds requests by priority and the workers run them in order",
    "each tenant has people and keys and a share of what the machines can do",
    "water that comes too fast is held and let through as it can be used",
)


def write_tiny_model(folder: Path, seed: int = 1) -> Path:
    folder.mkdir(parents=True)
    _write_tokenizer(folder)
    save_file(_weights(seed), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config()))
    (folder / "LICENSE").write_text("made for a test\n")
    return folder


def write_texts(path: Path, count: int = 40) -> Path:
    """Writes documents that repeat themselves enough to be learnt."""
    documents = (f"{SENTENCES[n % 4]} {n} {SENTENCES[(n * 7 + 1) % 4]}" for n in range(count))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return path


def write_chats(path: Path, count: int = 24) -> Path:
    chats = ((f"what is {n}", f"it is {n}") for n in range(count))
    path.write_text("".join(chat_line(*chat) for chat in chats))
    return path


def chat_line(question: str, answer: str) -> str:
    roles = ("user", question), ("assistant", answer)
    messages = [{"role": role, "content": text} for role, text in roles]
    return json.dumps({"messages": messages}) + "\n"


def _write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
        "bos_token": "<|im_start|>", "pad_token": "<|im_end|>", "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _config() -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": WORDS,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "dtype": "float32",
    }  # fmt: skip


def _weights(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens": (WORDS, WIDTH)}
    for layer in range(LAYERS):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in _layer().items()}
    weights = {
        f"{name}.weight": random.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    norms = [f"model.layers.{n}.{side}_layernorm" for n in range(LAYERS) for side in
             ("input", "post_attention")]  # fmt: skip
    ones = np.ones(WIDTH, dtype=np.float32)
    return weights | {f"{name}.weight": ones.copy() for name in [*norms, "model.norm"]}


def _layer() -> dict[str, tuple[int, int]]:
    kv = WIDTH // HEADS * KV_HEADS
    return {
        "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (kv, WIDTH),
        "self_attn.v_proj": (kv, WIDTH), "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (FEED_FORWARD, WIDTH), "mlp.up_proj": (FEED_FORWARD, WIDTH),
        "mlp.down_proj": (WIDTH, FEED_FORWARD),
    }  # fmt: skip
