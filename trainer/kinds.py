"""The kinds of orders, and the parameters of each: the one table of them."""

from dataclasses import dataclass

from trainer.parameters import Parameter, choice, flag, number, text, whole

_TRAINING = (
    choice("method", "lora", ("lora", "full"), "an adapter, or all weights"),
    whole("rank", 16, 1, 256, "the rank of the adapter's matrices"),
    number("alpha", None, 0, 4096, "the adapter's scale; by default twice the rank"),
    whole("epochs", 3, 1, 1000, "how often the data is gone through"),
    number("learning_rate", None, 0, 1, "by default 4e-4 for adapters, 5e-5 for all weights"),
    whole("batch", 8, 1, 4096, "sequences of a step"),
    whole("length", 256, 16, 131_072, "tokens of a sequence"),
    whole("warm_up", 20, 0, 100_000, "steps until the learning rate is reached"),
    whole("save_every", 20, 1, 100_000, "steps between two checkpoints"),
    whole(
        "evaluate_every", None, 1, 100_000, "steps between two held-out losses; by default an epoch"
    ),
    whole("patience", 3, 0, 1000, "held-out losses without gain before it stops; 0: never"),
    whole("most_steps", None, 1, 10**9, "ends after so many steps"),
    choice("precision", "auto", ("auto", "fp32", "bf16"), "auto takes the faster one of this host"),
    whole("micro_batch", None, 1, 4096, "sequences at once; by default what fits and is fast"),
    whole("memory", None, 64, 1 << 30, "MiB that it may take; by default what is free"),
    whole("processes", 1, 1, 64, "processes that share each step, by torchrun"),
)
_DISTILLATION = (
    whole("layers", None, 1, 1000, "layers that stay; by default half"),
    whole("vocabulary", None, 256, 10**7, "the first tokens that stay; by default all"),
    whole("feed_forward", None, 32, 10**6, "width of the feed-forward part; by default as before"),
    number("kl", 1.0, 0, 100, "weight of the divergence from the teacher"),
    number("hidden", 1.0, 0, 100, "weight of the distance of hidden states"),
    number("cross_entropy", 1.0, 0, 100, "weight of the loss on the text"),
    whole("teacher_epochs", 1, 0, 1000, "how often the teacher goes through the data first"),
    number("teacher_rate", 5e-5, 0, 1, "the teacher's learning rate"),
    flag("embedding", False, "trains the embedding too"),
    text("tasks", None, "a task set as JSON lines: teacher and student are scored on it"),
    whole("epochs", 1, 1, 1000, "how often the data is gone through"),
    number("learning_rate", 8e-4, 0, 1, "reached after warm_up steps"),
    whole("batch", 8, 1, 4096, "sequences of a step"),
    whole("length", 256, 16, 131_072, "tokens of a sequence"),
    whole("warm_up", 20, 0, 100_000, "steps until the learning rate is reached"),
    whole("save_every", 20, 1, 100_000, "steps between two checkpoints"),
    whole(
        "evaluate_every", None, 1, 100_000, "steps between two held-out losses; by default an epoch"
    ),
    whole("most_steps", None, 1, 10**9, "ends after so many steps"),
    choice("precision", "auto", ("auto", "fp32", "bf16"), "auto takes the faster one of this host"),
    whole("micro_batch", None, 1, 4096, "sequences at once; by default what fits and is fast"),
    whole("memory", None, 64, 1 << 30, "MiB that it may take; by default what is free"),
)
_PREPARATION = (
    choice(
        "form", "auto", ("auto", "chats", "texts", "plain", "markdown"), "how the files are read"
    ),
    flag("deduplicate", True, "drops near copies"),
    number("similarity", 0.8, 0.3, 1, "the Jaccard similarity of five-word runs that makes a copy"),
    flag("mask", True, "replaces personal data by the name of its kind"),
    number("held_out", 5.0, 0, 50, "percent of the documents that are held out, drawn by hash"),
    whole("longest_line", 1 << 20, 1024, 1 << 28, "bytes of a line; longer ones are left out"),
    whole("most_broken", 1000, 0, 10**9, "broken lines after which the data is refused"),
    whole("samples", 5, 0, 100, "samples of each finding in the report"),
)
_SCORING = (
    whole("length", 256, 16, 131_072, "tokens of a sequence"),
    whole("batch", 4, 1, 4096, "sequences at once"),
    whole("most_tokens", None, 16, 10**9, "ends after so many tokens"),
    text("adapter", None, "the folder of an adapter on the base"),
    choice("precision", "fp32", ("fp32", "bf16"), "of the sums"),
    choice("calibrate", None, ("platt", "isotonic"), "fits a calibrator of two choices' scores"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of order: the module whose `run(job)` does it, what it needs, and its parameters."""

    module: str
    needs_base: bool
    needs_data: bool
    parameters: tuple[Parameter, ...]


KINDS = {
    "fine-tune": Kind("trainer.training.fine_tuning", True, True, _TRAINING),
    "pretrain": Kind("trainer.training.pretraining", True, True, _TRAINING),
    "distil": Kind("trainer.compression.distilling", True, True, _DISTILLATION),
    "quantise": Kind(
        "trainer.formats.quantising",
        True,
        False,
        (
            choice("format", "q8_0", ("q8_0", "int8"), "Q8_0 in a GGUF, or int8 rows for vLLM"),
            choice("embedding", "once", ("once", "twice", "f16"), "a tied one, as int8"),
        ),
    ),
    "convert": Kind(
        "trainer.formats.converting",
        True,
        False,
        (
            choice("to", "gguf", ("gguf", "hf"), "the format of the result"),
            choice("dtype", "f16", ("f32", "f16", "q8_0"), "the type of matrices"),
            text("adapter", None, "the folder of an adapter: it is converted in place of the base"),
        ),
    ),
    "prepare": Kind("trainer.data.preparing", False, True, _PREPARATION),
    "score": Kind("trainer.scoring.scoring", True, True, _SCORING),
}
