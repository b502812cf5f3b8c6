"""Results of items, as the worker writes them and a report reads them."""

import re
import unicodedata

import msgspec


class TextResult(msgspec.Struct, array_like=True):
    """Sums over the tokens of a text after its first one.

    `outside` counts tokens that the engine did not list among the likeliest. `words` are the text's
    tokens after the first, `tops` the engine's likeliest ones in their places, by their numbers.
    """

    loss: float = 0.0  # negative logarithm of the likelihood, base e
    tokens: int = 0
    right: int = 0  # the likeliest token was the text's
    outside: int = 0
    size: int = 0  # bytes of the text
    words: list[int] = []
    tops: list[int] = []


class ChoiceResult(msgspec.Struct, array_like=True):
    """The logarithm of each choice's likelihood, and the bytes of each."""

    scores: list[float]
    sizes: list[int]
    outside: int = 0
    tokens: int = 0

    @property
    def chosen(self) -> int:
        return _best(self.scores)

    @property
    def chosen_by_length(self) -> int:
        return _best([s / max(1, size) for s, size in zip(self.scores, self.sizes, strict=True)])


class AnswerResult(msgspec.Struct, array_like=True):
    text: str
    is_cut: bool = False  # by the limit of tokens


class SideResults(msgspec.Struct):
    """The results of one model. `versions` are those of the engines that were asked."""

    model: str
    kind: str
    versions: list[str] = []
    engines: list[str] = []
    texts: list[TextResult] = []
    choices: list[ChoiceResult] = []
    answers: list[AnswerResult] = []
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def done(self) -> int:
        return len(self.texts) + len(self.choices) + len(self.answers)


packed = msgspec.msgpack.Encoder().encode
_as_json = msgspec.json.Encoder().encode


def as_json(results: SideResults) -> bytes:
    return _as_json(results)


def from_json(data: bytes) -> SideResults:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=SideResults)


def unpacked(data: bytes) -> SideResults:
    return msgspec.msgpack.decode(data, type=SideResults)


def normal(text: str, match: str) -> str:
    """Returns a text as it is compared: as it is, or without regard to case, width and dots."""
    if match == "exact":
        return text.strip()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", folded).strip().strip(".!?\"'。！？").strip()


def _best(scores: list[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)
