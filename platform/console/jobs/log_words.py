"""Lines of a job's log, and problems of its data, in the reader's language.

The platform and the trainer write them in English (inference/jobs, trainer/).
"""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from inference.log_translation import Wordings

_WORDS = Wordings(
    [
        gettext_noop("started at step %s"),
        gettext_noop("registered as %s"),
        gettext_noop("the quota of %s is used up"),
        # Of data: inference/jobs/validation.py
        gettext_noop("the base model has been deleted"),
        gettext_noop("the data set has no rows, or was deleted"),
        gettext_noop("the file has been deleted"),
        gettext_noop("the file has been erased"),
        gettext_noop("the file has no lines"),
        gettext_noop("this line is longer than %s bytes"),
        gettext_noop("this line is not UTF-8"),
        gettext_noop("this line is not valid JSON"),
        gettext_noop("this line has too many values"),
        gettext_noop("this line is not a JSON object"),
        gettext_noop("this line has a field that is not known: use `messages`, or `text`"),
        gettext_noop("`text` must be a text that is not empty"),
        gettext_noop("`messages` must be a list with at least one message"),
        gettext_noop("each message needs a role: system, developer, user, assistant or tool"),
        gettext_noop("the content of a message must be a text"),
        gettext_noop("the chat has no answer of an assistant with text"),
        gettext_noop("`source` must be a text"),
        gettext_noop("`person` names nobody of this tenant"),
        # Of endings: inference/jobs/on_host/endings.py and inference/worker/handlers/training.py
        gettext_noop("the trainer refused the order"),
        gettext_noop("the data cannot be used"),
        gettext_noop("the base model cannot be used"),
        gettext_noop("the memory is too small for this job"),
        gettext_noop("the disk of the worker is full"),
        gettext_noop("the checkpoints of this tenant's jobs have no room"),
        gettext_noop("the trainer broke: this is a fault of the platform"),
        gettext_noop("this host has no trainer: forebay trainer install"),
        gettext_noop("the trainer's process was killed again and again"),
        gettext_noop("the trainer could not be started, or broke"),
        gettext_noop("every worker that took it died in the same step"),
        gettext_noop("its person has been erased"),
        gettext_noop("its %s was deleted"),
        gettext_noop("its data has been erased"),
        gettext_noop("its base was deleted"),
        gettext_noop("the store of files cannot be reached; it will be tried again"),
        gettext_noop(
            "the GPU time that could be set aside is too short for a checkpoint: raise the quota, "
            "or save more often"
        ),
        gettext_noop("what the trainer made cannot be registered: %s"),
        gettext_noop(
            "there is no room for its result: delete versions that nobody needs, then resume it"
        ),
        # Of the trainer's own events
        gettext_noop("Goes on after step %s"),
        gettext_noop("Goes on with %s threads, as it began"),
        gettext_noop("Other hardware or libraries: the sums may differ"),
        gettext_noop("The base has no file with its licence"),
        gettext_noop("The base has no chat template"),
        gettext_noop("The base has no config.json or no safetensors file"),
        gettext_noop("The base is no decoder with layers, such as Llama's"),
        gettext_noop("The base is quantised already: convert what it was made from"),
        gettext_noop("The data has nothing to learn from"),
        gettext_noop("The set is too small for a part that is held out"),
        gettext_noop("The loss of step %s is no number: lower the learning rate"),
        gettext_noop("The order takes %s MiB of memory, %s MiB are free"),
        gettext_noop("%s sequences of %s tokens do not fit into the memory"),
        gettext_noop("Line %s has no words of an assistant"),
        gettext_noop("Line %s has no messages"),
        gettext_noop("Line %s has no text"),
        gettext_noop("Line %s is no JSON in UTF-8"),
        gettext_noop("Line %s is no JSON object"),
        gettext_noop("More than %s lines are broken"),
        gettext_noop("No document is left: the report says why"),
    ]
)


_FITS = "; it fits with "


def in_words(message: str) -> str:
    """Returns the message in the reader's language; an unknown one unchanged."""
    problem, fits, size = message.partition(_FITS)
    text = _WORDS.of(problem) or problem
    if not fits:
        return text
    plain = size.strip("{}").replace("'", "").replace("_", " ")  # names and numbers
    return _("%(problem)s; it fits with %(size)s") % {"problem": text, "size": plain}
