"""Translates English texts of logs, records and configuration's problems for a reader."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop


class Wordings:
    """Texts with `%s` for variable parts, each marked for translation (gettext_noop)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = [(re.compile(_pattern(text)), text) for text in texts]

    def of(self, message: str) -> str | None:
        """Returns the translation by the first matching pattern; None without one."""
        for pattern, text in self._patterns:
            if match := pattern.fullmatch(message):
                return _(text) % match.groups() if match.groups() else _(text)
        return None


def _pattern(text: str) -> str:
    return re.escape(text).replace("%s", "(.+)")


# Problems of pools' policies (pool_policy.py), of engines (registry/checking.py), of imports.
_PROBLEMS = Wordings(
    [
        gettext_noop("there is no class %s, only %s"),
        gettext_noop("must be an object"),
        gettext_noop("%s is none of %s"),
        gettext_noop("must be a whole number from 0 to %s"),
        gettext_noop("overflow begins after how many milliseconds of wait?"),
        gettext_noop("all shares together must be at most %s"),
        gettext_noop("%s may hold %s and %s"),
        gettext_noop("%s of %s must be 1 to %s"),
        gettext_noop("%s of %s must be more than 0 and at most %s"),
        gettext_noop("%s of %s must be 0 to %s slots"),
        gettext_noop("%s of %s must be 0 to %s"),
        gettext_noop("it opens and closes at the same time"),
        gettext_noop("its ramp is longer than half of it, or a number is negative"),
        gettext_noop("it has hours, ramp_minutes and outside, not %s"),
        gettext_noop('`hours` must be a text like "22:00-06:00"'),
        gettext_noop("ramp_minutes and outside must be whole numbers"),
        gettext_noop("%s is no time of day like 22:00"),
        gettext_noop("it has awake, hours, return_s, spare and time_zone, not %s"),
        gettext_noop("return_s must be a whole number from 1 to %s"),
        gettext_noop("awake must be a whole number, 1 or more"),
        gettext_noop("awake and kept are the same: give awake alone"),
        gettext_noop('spare must be true, false or "auto"'),
        gettext_noop("%s is no time zone like Europe/Berlin"),
        gettext_noop("%s must be %s to %s seconds"),
        gettext_noop("model must be 1 to %s printable characters"),
        gettext_noop("%s must be %s to %s"),
        gettext_noop("normal_form must be empty or one of %s"),
        gettext_noop("unknown capability %s; known are %s"),
        gettext_noop("capabilities must be an object like %s"),
        gettext_noop("Expected %s, got %s - at %s"),
        gettext_noop("a name is %s characters too long"),
        gettext_noop("adapters must be ids of versions"),
        gettext_noop("the url must begin with http:// or https:// and name a host"),
        gettext_noop("the url holds a blank, a line break or a character beyond ASCII"),
        gettext_noop("the url must name its host by a name or an address"),
        gettext_noop(
            "the api_key holds a line break or a character beyond ASCII, or a blank at its ends"
        ),
        gettext_noop(
            "an engine's address must not be link-local, multicast or a metadata service's"
        ),
        gettext_noop(
            "its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted"
        ),
        # Of imports of model versions (model_registry).
        gettext_noop("there is no safetensors or GGUF file"),
        gettext_noop("there are safetensors and GGUF files: register them apart"),
        gettext_noop("there is no folder %s, or it is a symbolic link"),
        gettext_noop("two files differ by upper and lower case alone"),
        gettext_noop("there are more than %s files, or too many folders"),
        gettext_noop("%s is a symbolic link or no plain file"),
        gettext_noop("%s is no name for a file of a model"),
        gettext_noop(
            "%s is a pointer of Git LFS without its content: run `git lfs pull` first, or "
            "import the file by https"
        ),
        gettext_noop(
            "%s may run code when it is loaded: convert it to safetensors, or leave it out"
        ),
        gettext_noop(
            "%s is an adapter of the type %s, which names other files that would be opened with "
            "it: merge them into a plain LoRA"
        ),
        gettext_noop("%s is neither weights in safetensors or GGUF nor a text: leave it out"),
        gettext_noop("%s has more than %s MiB, too much for a text"),
        gettext_noop("%s is an archive or a pickle under another name"),
        gettext_noop("%s is not JSON"),
        gettext_noop("%s is not UTF-8"),
        gettext_noop("%s is not a safetensors file: its header has a wrong length"),
        gettext_noop("%s is not a safetensors file: its header is not readable"),
        gettext_noop("%s: the places of its tensors do not fit together"),
        gettext_noop("%s has bytes that belong to no tensor, or is cut off"),
        gettext_noop("%s has a tensor of the unknown type %s"),
        gettext_noop("%s has a tensor of an impossible shape"),
        gettext_noop("%s is not a GGUF file"),
        gettext_noop("%s is GGUF of version %s: 2 and 3 are known"),
        gettext_noop("%s says that it has %s tensors and %s keys"),
        gettext_noop("%s has a tensor with %s dimensions"),
        gettext_noop("%s has a value of the unknown type %s"),
        gettext_noop("%s has an array that is too large"),
        gettext_noop("%s has a text of %s bytes"),
        gettext_noop("%s has an impossible alignment"),
        gettext_noop("%s is cut off: its tensors end beyond the file"),
        gettext_noop("%s is cut off in its header, or the header is too long"),
        gettext_noop("it is larger than the room that is left for versions of models"),
        gettext_noop("the archive has more than %s files"),
        gettext_noop("the archive is broken, or protected by a password"),
        gettext_noop("the archive is compressed in a way that is not known here"),
        gettext_noop("the archive has a header that is too large"),
        gettext_noop("the archive has a link: %s"),
        gettext_noop("the archive has a link or a device: %s"),
        gettext_noop("the archive has two files called %s"),
        gettext_noop("the archive has a name that leaves its folder: %s"),
        gettext_noop("the archive has too many folders in each other"),
        gettext_noop("the url must begin with https:// and name a host, without a user name"),
        gettext_noop("%s is not in FOREBAY_MODEL_HOSTS: the operator names hosts there"),
        gettext_noop("%s has no address from which models may be imported"),
        gettext_noop("its SHA-256 is %s, not the one that was given"),
        gettext_noop("the download broke off"),
        gettext_noop("the server answered %s"),
        gettext_noop("the server redirects without end"),
        gettext_noop("the server's certificate is not trusted (FOREBAY_TLS_CA)"),
        gettext_noop("the server does not answer"),
        gettext_noop("a revision is a branch, a tag or the id of a commit"),
        gettext_noop("git cannot %s this: is the revision there, without a password?"),
        gettext_noop("it did not end in time"),
        gettext_noop("the repository has no folder %s"),
        gettext_noop("two files are called %s"),
        gettext_noop("the checkpoint has no files any more"),
        gettext_noop("an uploaded file cannot be read any more"),
        gettext_noop("an uploaded file was deleted before it was read"),
        gettext_noop("no folder of FOREBAY_MODELS has %s"),
        gettext_noop("there is no room for its files: delete versions that nobody needs"),
        gettext_noop("its files could not be stored"),
        gettext_noop("the version was deleted while it was imported"),
        gettext_noop("the process that imported it has ended"),
        gettext_noop("its import ended the process that tried it"),
    ]
)
_ENGINE_NAME = re.compile(r"^engine '[^']*': ")


def in_words(problem: str) -> str:
    """Returns the translated problem of an entry or a policy; an unknown one unchanged."""
    return _PROBLEMS.of(_ENGINE_NAME.sub("", problem)) or problem
