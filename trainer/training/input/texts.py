"""Texts for continued pre-training: one stream of tokens, cut into sequences of one length."""

from collections.abc import Iterable, Iterator
from typing import Any

from trainer.refusals import bad_data
from trainer.training.input.lines import read_object

Sequence = tuple[list[int], list[bool]]  # ids, and which of them the loss counts


def text_sequences(
    lines: Iterable[tuple[int, bytes]], tokenizer: Any, length: int
) -> Iterator[Sequence]:
    """Yields sequences of `length` tokens, and a last shorter one."""
    stream: list[int] = []
    for number, line in lines:
        stream += tokenizer(_text(number, line), add_special_tokens=False, verbose=False).input_ids
        if tokenizer.eos_token_id is not None:
            stream.append(tokenizer.eos_token_id)
        cut = len(stream) - len(stream) % length
        yield from (_counted(stream[at : at + length]) for at in range(0, cut, length))
        del stream[:cut]
    if len(stream) > 1:
        yield _counted(stream)


def _counted(ids: list[int]) -> Sequence:
    return ids, [True] * len(ids)


def _text(number: int, line: bytes) -> str:
    text = read_object(number, line).get("text")
    if not isinstance(text, str):
        raise bad_data("no_text", f"Line {number} has no text")
    return encodable(number, text)


def encodable(number: int, text: str) -> str:
    """Refuses halves of surrogate pairs, which JSON can name and no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_data("broken_text", f"Line {number} has half a character") from error
    return text
