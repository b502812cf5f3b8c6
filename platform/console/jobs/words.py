"""Words of the pages about jobs: kinds, states, parameters and their values."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.models import JobKind, JobState

KINDS: dict[str, Promise] = {
    JobKind.FINE_TUNE: _("Teaches a model to answer like the chats of a data set."),
    JobKind.PRETRAIN: _("Has a model read on in the texts of your field."),
    JobKind.DISTIL: _("Cuts layers and words out of a model, and teaches the rest."),
    JobKind.QUANTISE: _("Makes a model four times smaller, in eight bits."),
    JobKind.CONVERT: _("Writes a model in another format, for other engines."),
    JobKind.PREPARE: _("Cleans a data set: broken lines, copies, personal data."),
    JobKind.SCORE: _("Measures how well a model knows the texts of a data set."),
}
STATES: dict[str, Promise] = {
    JobState.VALIDATING: _("The model, the data and each line are being checked."),
    JobState.QUEUED: _("It waits for a GPU."),
    JobState.RUNNING: _("It has a GPU."),
    JobState.PAUSED: _("It is paused, and goes on from its last checkpoint when it is resumed."),
    JobState.SUCCEEDED: _("It is done."),
    JobState.FAILED: _("It has failed."),
    JobState.CANCELLED: _("It was cancelled. Its checkpoints stay."),
}
COLOURS = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.PAUSED: "yellow",
    JobState.CANCELLED: "secondary",
}
UNITS: dict[str, Promise] = {
    "steps": _("steps"),
    "lines": _("lines"),
    "bytes": _("bytes"),
    "items": _("items"),
    "tensors": _("tensors"),
}
PARAMETERS: dict[str, tuple[Promise, Promise]] = {  # label, help
    "method": (_("Method"), _("An adapter is small and quick to train.")),
    "epochs": (_("Epochs"), _("How often the data is gone through.")),
    "learning_rate": (_("Learning rate"), _("How far a step moves the weights.")),
    "rank": (_("Rank of the adapter"), _("More takes in more, and takes more memory.")),
    "patience": (
        _("Patience"),
        _("Ends after so many held-out losses without gain. 0: never."),
    ),
    "batch": (_("Sequences of a step"), _("Also called the batch size.")),
    "length": (_("Tokens of a sequence"), _("Longer chats are cut off.")),
    "warm_up": (_("Steps of warm-up"), _("Until the learning rate is reached.")),
    "save_every": (_("Steps between checkpoints"), _("Of the last three the files are kept.")),
    "evaluate_every": (_("Steps between held-out losses"), _("Empty: once an epoch.")),
    "most_steps": (_("Most steps"), _("Empty: all epochs.")),
    "layers": (_("Layers that stay"), _("Empty: half of them.")),
    "vocabulary": (_("Words that stay"), _("The first of the vocabulary. Empty: all.")),
    "feed_forward": (_("Width of the feed-forward part"), _("Empty: as before.")),
    "teacher_epochs": (
        _("Epochs of the teacher"),
        _("How often the large model goes through the data first."),
    ),
    "format": (_("Format"), _("Q8_0 is for llama.cpp, int8 for vLLM.")),
    "to": (_("Format"), _("GGUF is for llama.cpp, a Hugging Face folder for vLLM.")),
    "dtype": (_("Type of numbers"), _("f16 keeps nearly everything. q8_0 is half of it.")),
    "deduplicate": (_("Drop near copies"), _("Rows that say nearly the same stay once.")),
    "mask": (
        _("Mask personal data"),
        _("Names of its kind stand in place of numbers, addresses and the like."),
    ),
    "held_out": (_("Percent held out"), _("Never trained on: it measures the training.")),
    "similarity": (_("Similarity of a copy"), _("1: only what is the same.")),
    "most_broken": (_("Most broken lines"), _("With more of them the data is refused.")),
    "most_tokens": (_("Most tokens"), _("Empty: all.")),
    "adapter": (_("Adapter"), _("It is laid on the model. Empty: none.")),
    "tasks": (_("Task set"), _("The large and the small model are scored on it. Empty: none.")),
}
CHOICES: dict[str, Promise | str] = {
    "lora": _("Adapter (LoRA)"),
    "full": _("All weights"),
    "q8_0": "Q8_0",
    "int8": "int8",
    "gguf": "GGUF",
    "hf": "Hugging Face",
    "f32": "f32",
    "f16": "f16",
}


def parameter_lines(parameters: dict[str, object]) -> list[tuple[str, str]]:
    """Returns label and value of parameters that were set; unknown ones by their name."""
    return [
        (str(PARAMETERS[name][0]) if name in PARAMETERS else name, _value(value))
        for name, value in parameters.items()
        if value is not None
    ]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    return str(CHOICES.get(value, value)) if isinstance(value, str) else str(value)
