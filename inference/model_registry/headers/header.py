"""What a header says of its file, and the error of one that cannot be trusted."""

from collections import Counter
from dataclasses import dataclass, field


class BadFile(ValueError):
    """A file that the registry does not take. The message is for people, in one line."""


@dataclass(slots=True)
class Header:
    """The part of a header that the registry keeps. `bytes_by_dtype` decides on its `dtype`."""

    parameters: int = 0
    bytes_by_dtype: Counter[str] = field(default_factory=Counter)
    architecture: str = ""
    licence: str = ""
    context_length: int = 0
    is_adapter: bool = False
    pooling: int = 0  # of a GGUF for embeddings or rankings: llama.h, llama_pooling_type

    @property
    def dtype(self) -> str:
        """Returns the type in which most bytes of the tensors are stored."""
        most = self.bytes_by_dtype.most_common(1)
        return most[0][0] if most else ""

    def __iadd__(self, other: "Header") -> "Header":
        """Add another file of the same model."""
        self.parameters += other.parameters
        self.bytes_by_dtype += other.bytes_by_dtype
        self.architecture = self.architecture or other.architecture
        self.licence = self.licence or other.licence
        self.context_length = self.context_length or other.context_length
        self.is_adapter = self.is_adapter or other.is_adapter
        return self
