"""The report of a preparation: counts, and samples for those who may see the data."""

from dataclasses import asdict, dataclass, field
from typing import Any

_LONGEST_SAMPLE = 300
Place = dict[str, Any]


@dataclass(slots=True)
class Report:
    """Samples quote masked texts alone; a broken line is told by its place."""

    most_samples: int
    documents: int = 0
    train: int = 0
    held_out: int = 0
    letters: int = 0
    tokens: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    copies: int = 0
    lengths: dict[str, int] = field(default_factory=dict)  # documents by powers of two of letters
    samples: dict[str, list[Place]] = field(default_factory=dict)

    @property
    def broken(self) -> int:
        return sum(self.left_out.values())

    def fault(self, code: str, place: Place) -> None:
        self.left_out[code] = self.left_out.get(code, 0) + 1
        self._sample(code, place)

    def mask(self, counts: dict[str, int], place: Place, text: str) -> None:
        for kind, count in counts.items():
            self.masked[kind] = self.masked.get(kind, 0) + count
            self._sample(f"masked:{kind}", place | {"text": _around(text, f"[{kind}]")})

    def copy(self, place: Place, original: str, text: str, similarity: float) -> None:
        self.copies += 1
        texts = {"text": text[:_LONGEST_SAMPLE], "original": original[:_LONGEST_SAMPLE]}
        self._sample("copy", place | texts | {"similarity": round(similarity, 3)})

    def keep(self, text: str, held_out: bool, tokens: int, place: Place) -> None:
        self.documents += 1
        self.letters += len(text)
        self.tokens += tokens
        if held_out:
            self.held_out += 1
        else:
            self.train += 1
        length = str(1 << max(0, len(text) - 1).bit_length())
        self.lengths[length] = self.lengths.get(length, 0) + 1
        self._sample("kept", place | {"text": text[:_LONGEST_SAMPLE]})

    def _sample(self, name: str, sample: Place) -> None:
        samples = self.samples.setdefault(name, [])
        if len(samples) < self.most_samples:
            samples.append(sample)

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        del fields["most_samples"]
        return fields


def _around(text: str, word: str) -> str:
    """Returns the part of a masked text around a word."""
    start = max(0, text.find(word) - _LONGEST_SAMPLE // 2)
    return text[start : start + _LONGEST_SAMPLE]
