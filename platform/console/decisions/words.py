"""Words for what a trial showed, and the version that a new policy begins with."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.decisions.sample import SAMPLE
from inference.decisions.spec import PolicySpec, of_json

FIRST: PolicySpec = of_json({**SAMPLE, "model": "MODEL"})
_PROBLEMS: dict[str, Promise] = {
    "no_logprobs": gettext_lazy(
        "The engine answers without log-probabilities, which a score is made of. Choose a model "
        "whose engine gives them."
    ),
    "labels_not_likely": gettext_lazy(
        "Neither label is among the twenty likeliest first tokens. Let the template ask for one of "
        "the two words, or tune the model."
    ),
    "label_of_several_tokens": gettext_lazy(
        "A label must be one token of the model. Choose a shorter, common word."
    ),
    "model_changed": gettext_lazy(
        "Another version of the model serves by now. Write a version for it."
    ),
    "access_revoked": gettext_lazy(
        "Whoever sent it to review may not send requests any more. Send it again yourself."
    ),
    "insufficient_scope": gettext_lazy(
        "The key that sent it to review may not send requests: it lacks the scope inference."
    ),
    "engine_unavailable": gettext_lazy("No engine of the model answers. Try again later."),
}


def problem_in(trial: dict[str, Any] | None) -> str:
    """Returns why a trial failed, in the reader's language; "" if it did not."""
    if not trial or "problem" not in trial:
        return ""
    problem: str = trial["problem"]
    text = str(_PROBLEMS.get(problem, _("The request was refused: %s") % problem))
    if problem == "label_of_several_tokens":
        text += " " + _("%(label)s begins with the token %(token)s.") % trial
    if likely := trial.get("likely"):
        text += " " + _("The likeliest are: %s.") % ", ".join(map(repr, likely))
    return text
