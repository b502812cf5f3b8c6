"""The report's words by name, in both languages."""

from console.compliance.texts import Text, content

WORDS: dict[str, Text] = content("drill_words")


def in_language(language: str) -> dict[str, str]:
    return {name: text.in_language(language) for name, text in WORDS.items()}
