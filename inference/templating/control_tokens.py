"""Texts that a model reads as its control tokens: they open a turn, or another role.

Servers write a chat into one text and read control tokens wherever they stand in it. What fills a
template is somebody's data, so none may come in with it, nor by putting values side by side.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection

# What no prose has, whatever the model: ChatML, Llama, Phi, Harmony, DeepSeek; Mistral; Gemma.
_ALWAYS = re.compile(
    r"<[|\uff5c][^<>|\uff5c\s]{1,80}[|\uff5c]>"
    r"|\[/?INST\]|<</?SYS>>|\[g?MASK\]"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS)\]"
    r"|</?(?:start_of_turn|end_of_turn|start_of_image|BOS_TOKEN|EOS_TOKEN|bos|eos|sop|eop)>"
)
# What may be a tag of HTML as well: of a model that says that it has it.
_PERHAPS = re.compile(r"</?[A-Za-z][A-Za-z0-9_:]{0,39}>|\[/?[A-Z][A-Z_]{1,39}\]")
TAGS = ("<s>", "</s>", "<unk>", "<pad>", "<think>", "</think>", "<tool_call>", "<tool_response>")
LONGEST = 100


def in_text(text: str, of_models: Collection[str] = ()) -> Counter[str]:
    """Returns those in a text, and how often each; also by what its compatible form has."""
    forms = [text] if text.isascii() else [text, unicodedata.normalize("NFKC", text)]
    found: Counter[str] = Counter()
    for form in dict.fromkeys(forms):
        found |= Counter(_ALWAYS.findall(form))
        found |= Counter({token: count for token in of_models if (count := form.count(token))})
    return found


def of_template(template: str) -> set[str]:
    """Returns those that a model's chat template writes."""
    return {*_ALWAYS.findall(template), *_PERHAPS.findall(template)}


def usable(token: object) -> bool:
    """Whether what an engine names as a token can be looked for."""
    return isinstance(token, str) and 2 <= len(token) <= LONGEST and not token.isspace()
