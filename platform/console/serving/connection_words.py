"""Words for operators of what is wrong with an engine's connection."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.registry.connection import Problem, Report

_WORDS: dict[Problem, Promise] = {
    Problem.NAME: gettext_lazy("The host name has no address. Check its spelling and the DNS."),
    Problem.REFUSED: gettext_lazy(
        "The connection was refused: nothing listens on this port. Start the server, or correct "
        "the port."
    ),
    Problem.UNREACHABLE: gettext_lazy("There is no route to this host from here."),
    Problem.TIMEOUT: gettext_lazy(
        "No answer in time. A firewall may drop the connection, or the server is still loading."
    ),
    Problem.NO_HTTP: gettext_lazy(
        "What answers there does not speak HTTP. Check the port, and whether it needs https://."
    ),
    Problem.KEY: gettext_lazy("The API key was not accepted (%(detail)s)."),
    Problem.MOVED: gettext_lazy(
        "It redirects to another address (%(detail)s), which is not followed. Enter the final one."
    ),
    Problem.PATH: gettext_lazy("There is no list of models below this path (%(detail)s)."),
    Problem.STATUS: gettext_lazy("The server answered with an error (%(detail)s)."),
    Problem.FORM: gettext_lazy(
        "It answered, but with no list of models: this is no OpenAI-compatible server."
    ),
    Problem.NO_MODEL: gettext_lazy("The server works, but has no such model. It has: %(models)s."),
}
MOST_NAMED = 10


def words(report: Report) -> str:
    """Returns the problem of a report. Templates translate reasons (templatetags/reasons.py)."""
    assert report.problem
    if report.problem in (Problem.ADDRESS, Problem.TLS):
        return report.detail
    models = ", ".join(model.id for model in report.models[:MOST_NAMED]) or "–"
    text = str(_WORDS[report.problem]) % {"detail": report.detail, "models": models}
    if report.better_url:
        text += " " + _("Its API is at %(url)s.") % {"url": report.better_url}
    return text
