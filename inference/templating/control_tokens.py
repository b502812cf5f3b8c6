"""Texts that a model reads as its control tokens, which open a turn, or another role.

Servers write a chat into one text and read control tokens anywhere in it. Values of a template are
user data, so they may not contain such a token, nor make one side by side.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection

# Never part of prose: ChatML, Llama, Phi, Harmony, DeepSeek; Mistral; Gemma.
_ALWAYS = re.compile(
    r"<[|\uff5c][^<>|\uff5c\s]{1,80}[|\uff5c]>"
    r"|\[/?INST\]|<</?SYS>>|\[g?MASK\]"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS)\]"
    r"|</?(?:start_of_turn|end_of_turn|start_of_image|BOS_TOKEN|EOS_TOKEN|bos|eos|sop|eop)>"
)
# Possibly HTML tags as well: used only if a model's template has them.
_PERHAPS = re.compile(r"</?[A-Za-z][A-Za-z0-9_:]{0,39}>|\[/?[A-Z][A-Z_]{1,39}\]")
TAGS = ("<s>", "</s>", "<unk>", "<pad>", "<think>", "</think>", "<tool_call>", "<tool_response>")
LONGEST = 100


def in_text(text: str, of_models: Collection[str] = ()) -> Counter[str]:
    """Returns the tokens in a text with their counts, also in its compatibility form (NFKC)."""
    forms = [text] if text.isascii() else [text, unicodedata.normalize("NFKC", text)]
    counts: Counter[str] = Counter()
    for form in dict.fromkeys(forms):
        counts |= Counter(_ALWAYS.findall(form))
        counts |= Counter({token: count for token in of_models if (count := form.count(token))})
    return counts


def of_template(template: str) -> set[str]:
    return {*_ALWAYS.findall(template), *_PERHAPS.findall(template)}


def usable(token: object) -> bool:
    """Returns whether a token that an engine reports can be searched for."""
    return isinstance(token, str) and 2 <= len(token) <= LONGEST and not token.isspace()
