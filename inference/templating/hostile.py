"""Characters that a template's values may not contain, since they would deceive a reader."""

import re

from inference.templating.placeholders import alike

# Control characters but for tab and line breaks; noncharacters, interlinear annotations; halves of
# surrogate pairs, which no encoding has.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufff9-\ufffb\ufffe\uffff]")
_TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")  # show a text in another order (UTR 36)
_TAGS = re.compile("[\U000e0000-\U000e007f]")  # invisible ASCII
_FLAGS = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")


def problem(text: str) -> str:
    """Returns what is wrong, to follow the variable's name; "" if nothing is."""
    if _UNSEEN.search(text):
        return "must not hold control characters"
    if _TURNED.search(text):
        return "must not hold characters that change the direction of text"
    if _TAGS.search(text) and _TAGS.search(_FLAGS.sub("", text)):
        return "must not hold invisible tag characters"
    if "{" in text or not text.isascii():
        return "must not hold a placeholder, such as `{{name}}`" if alike(text) else ""
    return ""
