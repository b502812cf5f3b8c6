"""Says in words why a job is paused or has failed, and what a person can do."""

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Advice(NamedTuple):
    """The reason why a job stopped, and what a person can do."""

    cause: Promise
    remedy: Promise


_RESUME = _("Resume it: it goes on from its last checkpoint.")
_CHECK_DATA = _("Mend the data set, and start a new job.")
_TELL_OPERATOR = _("Tell the operators of the platform, with the name of the job.")
_OTHER_BASE = _("Choose another model, and start a new job.")
REASONS: dict[str, Advice] = {
    "by_request": Advice(_("A person paused it."), _RESUME),
    "quota": Advice(
        _("The budget of GPU time or cost is used up."),
        _("Ask for a quota increase, or wait for the next window; then resume the job."),
    ),
    "disk_full": Advice(
        _("The disk of the worker is full."),
        _("The operators of the platform have to make room. Then resume the job."),
    ),
    "registry_full": Advice(
        _("There is no room for what it made."),
        _("Delete versions of models or data sets that nobody needs, then resume the job."),
    ),
    "checkpoints_full": Advice(
        _("The checkpoints of the jobs under way have no room."),
        _("Cancel a job that nobody needs, or ask the operators for room; then resume the job."),
    ),
    "no_trainer": Advice(
        _("The host of the worker has no trainer."),
        _("An operator installs it: forebay trainer install. Then resume the job."),
    ),
    "no_progress": Advice(
        _("The GPU time that could be set aside is too short for one checkpoint."),
        _("Ask for a quota increase, or save checkpoints more often in a new job."),
    ),
    "files_damaged": Advice(
        _("A file that it needs is missing in the store, or damaged."),
        _("The operators of the platform have to restore it. Then resume the job."),
    ),
    "cancelled_by_operator": Advice(_("An operator took it out of the queue."), _RESUME),
    "restricted": Advice(
        _("The processing of its person's data is restricted."),
        _("It can go on when the restriction has ended."),
    ),
    "tenant_suspended": Advice(
        _("The tenant is suspended."), _("An operator has to resume the tenant first.")
    ),
    "access_revoked": Advice(
        _("The person or key that started it has no access any more."),
        _("Start a new job: a resumed one would be paused again."),
    ),
    "invalid_training_file": Advice(_("Lines of the file cannot be used."), _CHECK_DATA),
    "file_not_found": Advice(_("Its file was deleted."), _CHECK_DATA),
    "no_data": Advice(_("The data set has no rows, or was deleted."), _CHECK_DATA),
    "bad_data": Advice(_("The data cannot be used."), _CHECK_DATA),
    "no_assistant": Advice(_("A chat has no answer of an assistant."), _CHECK_DATA),
    "diverged": Advice(
        _("The loss grew beyond every number."),
        _("Start a new job with a lower learning rate, such as a third of it."),
    ),
    "model_not_found": Advice(_("The model it starts from was deleted."), _OTHER_BASE),
    "bad_base": Advice(_("The model it starts from cannot be used."), _OTHER_BASE),
    "architecture": Advice(_("The trainer does not know models of this kind."), _OTHER_BASE),
    "no_chat_template": Advice(
        _("The model has no template for chats."),
        _("Choose a model for chats, or continue its pre-training with texts."),
    ),
    "material_gone": Advice(
        _("What it works on was deleted meanwhile."), _("Start a new job with what is there.")
    ),
    "erased": Advice(
        _("Its data, or the person who started it, has been erased."),
        _("Start a new job with other data."),
    ),
    "bad_order": Advice(
        _("The trainer refused a parameter."), _("Start a new job with other parameters.")
    ),
    "bad_parameter": Advice(
        _("The trainer refused a parameter."), _("Start a new job with other parameters.")
    ),
    "out_of_memory": Advice(
        _("The memory is too small for this job."),
        _("Start a new one with the size that fits, shorter sequences, or an adapter."),
    ),
    "bad_result": Advice(_("What the trainer made cannot be registered."), _TELL_OPERATOR),
    "store_unavailable": Advice(
        _("The store of files cannot be reached."), _("It is tried again by itself.")
    ),
    "trainer_killed": Advice(
        _("The trainer's process was killed again and again."),
        _("Often the memory was too small: try shorter sequences. Else tell the operators."),
    ),
    "worker_lost": Advice(_("Every worker that took it died in the same step."), _TELL_OPERATOR),
    "trainer_broken": Advice(_("The trainer broke: a fault of the platform."), _TELL_OPERATOR),
}


def advice(code: str) -> Advice | None:
    """Returns what a reason means; None for an unknown one, whose message says it."""
    return REASONS.get(code)
