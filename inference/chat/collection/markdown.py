"""A conversation in Markdown. Texts stay as they are: answers are Markdown already."""

from django.utils.translation import gettext as _

from inference.chat.collection.transcript import Entry, Transcript
from inference.models import Author


def as_markdown(document: Transcript) -> str:
    title = document.title or _("Untitled chat")
    parts = [f"# {title}", _about(document), *(_section(entry) for entry in document.messages)]
    return "\n\n".join(parts) + "\n"


def heading(entry: Entry) -> str:
    author = _("You") if entry.author == Author.USER else _("Assistant")
    return f"{author} · {entry.created_at:%Y-%m-%d %H:%M} UTC"


def _about(document: Transcript) -> str:
    return _("Model: %(model)s. Exported on %(at)s UTC.") % {
        "model": document.model,
        "at": f"{document.exported_at:%Y-%m-%d %H:%M}",
    }


def _section(entry: Entry) -> str:
    files = "".join(f"*{line}*\n\n" for line in attached(entry))
    return f"## {heading(entry)}\n\n{files}{entry.text.rstrip()}"


def attached(entry: Entry) -> list[str]:
    """Returns a line with the names of its files, if it has some."""
    names = ", ".join(entry.attachments)
    return [_("Attached: %(names)s") % {"names": names}] if names else []
