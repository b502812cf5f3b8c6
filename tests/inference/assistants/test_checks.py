"""Faults of a spec reach a person as a path, a line and a sentence."""

import json
import time
from typing import Any

import msgspec
import pytest

from inference.assistants.checks import check
from inference.assistants.faults import WrongSpec, converted, read
from inference.assistants.spec import AssistantSpec
from tests.inference.assistants.shop import SPEC_JSON

pytestmark = pytest.mark.unit


def changed(path: str, value: Any) -> Any:
    """Returns the shop's spec as JSON with another value; None removes it."""
    spec = json.loads(json.dumps(SPEC_JSON))
    *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = spec
    for part in parts:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spec


def faults(path: str, value: Any) -> dict[str, str]:
    with pytest.raises(WrongSpec) as wrong:
        check(converted(changed(path, value)))
    return {fault.path: fault.message for fault in wrong.value.faults}


def test_the_shops_spec_is_right_and_stays_itself() -> None:
    spec = converted(SPEC_JSON)
    check(spec)
    assert read(msgspec.json.encode(spec).decode()) == spec
    assert isinstance(spec, AssistantSpec)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("languages", [], "languages"),
        ("languages", ["en", "en"], "languages"),
        ("languages", ["fr"], "languages.0"),
        ("embedding_model", " ", "embedding_model"),
        ("embedding_model", None, ""),
        ("knowledge", "base", "knowledge"),
        ("sure", 1.5, "sure"),
        ("most_turns", 0, "most_turns"),
        ("most_failures", 99, "most_failures"),
        ("typo", 1, ""),
        ("intents", [], "intents"),
        ("greeting", {"en": ""}, "greeting.en"),
        ("hand_over_words", ["x" * 81], "hand_over_words.0"),
        ("actions", ["find_order", "find\0order"], "actions.1"),
        ("intents.0.name", "Track", "intents.0.name"),
        ("intents.1.name", "track", "intents.1.name"),
        ("intents.0.title", {}, "intents.0.title"),
        ("intents.0.examples.en", ["one"], "intents.0.examples.en"),
        ("intents.0.examples.zh", None, "intents.0.examples.zh"),
        ("intents.0.slots.0.kind", "colour", "intents.0.slots.0.kind"),
        ("intents.0.slots.0.name", "1", "intents.0.slots.0.name"),
        ("intents.0.slots.0.ask", {"en": "Which?"}, "intents.0.slots.0.ask"),
        ("intents.0.slots.0.pattern", "(a+)+", "intents.0.slots.0.pattern"),
        ("intents.0.slots.0.pattern", "", "intents.0.slots.0.pattern"),
        ("intents.1.slots.1.choices", [], "intents.1.slots.1.choices"),
        ("intents.2.slots.1.optional", True, "intents.2.slots.1.optional"),
        ("intents.0.rule.action", "", "intents.0.rule.action"),
        ("intents.0.rule.action", "pay_out", "intents.0.rule.action"),
        ("intents.3.rule.reply", {"en": "At {{hour}}.", "zh": "九点"}, "intents.3.rule.reply.en"),
        ("intents.3.rule.reply", {"en": "9 to 5."}, "intents.3.rule.reply"),
        ("intents.4.rule.reply", {"en": "x"}, "intents.4.rule.reply"),
        ("knowledge", None, "intents.4.rule.kind"),
    ],
)
def test_a_fault_is_told_with_its_place(path: str, value: Any, where: str) -> None:
    assert where in faults(path, value)


def test_a_sentence_has_one_intent() -> None:
    sentence = SPEC_JSON["intents"][0]["examples"]["en"][0]
    examples = [sentence.upper(), "a", "b", "c"]
    assert "intents.1.examples.en.0" in faults("intents.1.examples.en", examples)


def test_a_model_may_translate_what_is_written_in_one_language() -> None:
    spec = changed("intents.3.rule.reply", {"en": "9 to 5."}) | {"chat_model": "small"}
    check(converted(spec))


def test_faults_of_a_text_name_their_lines() -> None:
    text = json.dumps(SPEC_JSON, indent=1, ensure_ascii=False)
    line = text.splitlines().index('     "kind": "order_number",') + 1
    with pytest.raises(WrongSpec) as wrong:
        read(text.replace('"kind": "order_number"', '"kind": "colour"', 1))
    (fault,) = wrong.value.faults
    assert (fault.path, fault.line) == ("intents.0.slots.0.kind", line)


@pytest.mark.parametrize(
    ("text", "line"), [("{\n\n}}", 3), ("{", 1), ("", 1), ("[" * 100_000, 1), ('{"a":\n nope}', 2)]
)
def test_what_is_no_json_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(WrongSpec) as wrong:
        read(text)
    assert wrong.value.faults[0].line == line


@pytest.mark.parametrize(
    "text", ["[" + "0,\n" * 200_000 + "0]", '{"intents": ' + "[" * 700 + "]" * 700 + "}"]
)
def test_a_text_of_many_values_or_levels_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(WrongSpec):
        read(text)
    assert time.process_time() - began < 3


def test_many_faults_are_told_at_once_but_not_all_of_thousands() -> None:
    spec = json.loads(json.dumps(SPEC_JSON))
    for intent in spec["intents"]:
        intent["examples"]["en"] = [""] * 100
    with pytest.raises(WrongSpec) as wrong:
        check(converted(spec))
    assert len(wrong.value.faults) == 20
