"""Chats for supervised training: the model's own template, and a loss on the assistant's words."""

from collections.abc import Iterable, Iterator
from typing import Any

from trainer.refusals import bad_data, unusable
from trainer.training.input.lines import read_object
from trainer.training.input.texts import Sequence, encodable

Message = dict[str, Any]
Span = tuple[int, int]


def chat_sequences(
    lines: Iterable[tuple[int, bytes]], tokenizer: Any, length: int
) -> Iterator[Sequence]:
    """Yields a sequence for each chat, cut off at `length` tokens.

    A chat whose assistant only speaks beyond that is left out.
    """
    if not tokenizer.chat_template:
        raise unusable("no_chat_template", "The base has no chat template")
    for number, line in lines:
        ids, counted = _sequence(number, _messages(number, line), tokenizer)
        if any(counted[1:length]):
            yield ids[:length], counted[:length]


def _messages(number: int, line: bytes) -> list[Message]:
    messages = read_object(number, line).get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_data("no_messages", f"Line {number} has no messages")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad_data("broken_message", f"Line {number} has a message without a role")
        message["content"] = _text(number, message.get("content"))
    if not any(map(_is_learned, messages)):
        raise bad_data("no_assistant", f"Line {number} has no words of an assistant")
    return messages


def _text(number: int, content: object) -> str:
    """Returns the text of a message: itself, or its parts one below the other."""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise bad_data("broken_message", f"Line {number} has a message without a text")
    return encodable(number, "\n".join(map(str, texts)))


def _is_learned(message: Message) -> bool:
    """Says whether it is the assistant's; OpenAI's `weight` of 0 leaves a message out."""
    return bool(message["role"] == "assistant" and message.get("weight", 1) != 0)


def _sequence(number: int, messages: list[Message], tokenizer: Any) -> Sequence:
    plain = [{"role": each["role"], "content": each["content"]} for each in messages]
    learned = [at for at, message in enumerate(messages) if _is_learned(message)]
    text = _rendered(number, tokenizer, plain)
    spans = [_span(number, tokenizer, plain, at, text) for at in learned]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    counted = [_is_within(offsets, spans) for offsets in encoded.offset_mapping]
    return encoded.input_ids, counted


def _span(number: int, tokenizer: Any, messages: list[Message], at: int, text: str) -> Span:
    """Returns where a message's words and its end mark stand in the text of the whole chat."""
    before = _rendered(number, tokenizer, messages[:at], add_generation_prompt=True)
    through = _rendered(number, tokenizer, messages[: at + 1]).rstrip()
    if not text.startswith(through) or not through.startswith(before):
        raise unusable("chat_template", "The chat template changes earlier messages of a chat")
    return len(before), len(through)


def _rendered(number: int, tokenizer: Any, messages: list[Message], **more: bool) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **more))
    except TemplateError as error:
        message = f"The chat template does not take the messages of line {number}"
        raise bad_data("roles", message) from error


def _is_within(offsets: Span, spans: list[Span]) -> bool:
    begin, end = offsets
    return any(first <= begin and end <= last and begin < end for first, last in spans)
