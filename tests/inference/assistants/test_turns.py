"""The steps of a dialogue: what follows what a person writes."""

import time

import msgspec
import pytest

from inference.assistants.state import (
    Act,
    Arguments,
    Ask,
    Confirm,
    Done,
    HandOver,
    Say,
    Search,
    State,
    Wait,
    packed,
    unpacked,
)
from inference.assistants.transitions import digest
from inference.assistants.turns import opened, resumed
from tests.inference.assistants.dialogue import Dialogue
from tests.inference.assistants.shop import SHOP, sure, unsure

pytestmark = pytest.mark.unit
ARGUMENTS: Arguments = {"order": "AB-1234", "reason": "broken"}


def confirmed() -> Dialogue:
    dialogue = Dialogue()
    step = dialogue.hear("I want my money back for AB-1234, it is broken", sure("refund"))
    assert step == Confirm("refund", ARGUMENTS, "refund")
    return dialogue


def test_a_look_up_runs_as_soon_as_its_slot_is_known() -> None:
    dialogue = Dialogue()
    assert dialogue.hear("Where is my parcel?", sure("track")) == Ask("order", "track")
    step = dialogue.hear("it is ab-1234")
    assert step == Act("find_order", {"order": "AB-1234"}, 1, False, "track")
    step = dialogue.result(status_of_order="sent")
    assert step == Say("done", {"order": "AB-1234", "status_of_order": "sent"}, "track")
    assert dialogue.hear("no thanks, that's all") == Done()
    assert dialogue.hear("hello?") == Wait()


def test_an_action_with_money_runs_after_a_yes_to_its_arguments() -> None:
    dialogue = confirmed()
    assert dialogue.hear("Yes, please.") == Act("refund", ARGUMENTS, 1, True, "refund")
    assert dialogue.result(amount="12.50 EUR") == Say(
        "done", {**ARGUMENTS, "amount": "12.50 EUR"}, "refund"
    )


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes please!",
        "sure, go ahead",
        "yes, that's correct",
        "ok thanks",
        "好的，麻烦了",
        "是的没错",
    ],
)
def test_a_plain_yes_has_many_forms(text: str) -> None:
    assert confirmed().hear(text) == Act("refund", ARGUMENTS, 1, True, "refund")


@pytest.mark.parametrize(
    "text", ["no", "不用了", "No, thanks!", "never mind", "算了", "no, please don't", "先不用"]
)
def test_a_no_to_a_confirmation_does_nothing(text: str) -> None:
    dialogue = confirmed()
    assert dialogue.hear(text) == Say("cancelled")
    assert dialogue.state.actions == 0
    assert dialogue.state.intent == ""


@pytest.mark.parametrize(
    "text",
    [
        "yes?",
        "well, perhaps",
        "yes and no",
        "I am not sure",
        "not fine",
        "不同意吗",
        "不需要确认",
        "对吗",
        "why",
        "",
        "🙂",
    ],
)
def test_what_is_no_plain_yes_confirms_nothing(text: str) -> None:
    dialogue = confirmed()
    assert dialogue.hear(text) == Confirm("refund", ARGUMENTS, "refund")
    assert dialogue.hear(text) == HandOver("not_confirmed")


def test_a_correction_is_confirmed_anew() -> None:
    dialogue = confirmed()
    step = dialogue.hear("yes but it is order CD-5678")
    assert step == Confirm("refund", {**ARGUMENTS, "order": "CD-5678"}, "refund")
    step = dialogue.hear("sorry, it came late")
    assert step == Confirm("refund", {"order": "CD-5678", "reason": "late"}, "refund")
    assert isinstance(dialogue.hear("好的"), Act)


def test_another_intent_replaces_an_open_one_and_keeps_the_order() -> None:
    dialogue = confirmed()
    step = dialogue.hear("Actually, where is that parcel now?", sure("track"))
    assert step == Act("find_order", {"order": "AB-1234"}, 1, False, "track")


def test_a_bare_value_is_an_answer_whatever_the_classifier_says() -> None:
    dialogue = Dialogue()
    dialogue.hear("Where is my parcel?", sure("track"))
    step = dialogue.hear("AB-1234", sure("refund", 0.99))
    assert step == Act("find_order", {"order": "AB-1234"}, 1, False, "track")


def test_a_text_is_taken_whole_unless_it_corrects_another_slot() -> None:
    dialogue = Dialogue()
    dialogue.hear("Send AB-1234 elsewhere", sure("move"))
    assert dialogue.state.pending
    assert dialogue.state.pending.slot == "address"
    assert dialogue.hear("wait, I mean CD-5678") == Ask("address", "move")
    assert dialogue.hear("no") == Ask("address", "move", again=True)
    step = dialogue.hear("12 High Street, Leeds")
    arguments: Arguments = {"order": "CD-5678", "address": "12 High Street, Leeds"}
    assert step == Confirm("change_address", arguments, "move")
    assert dialogue.hear("no wait, the address is wrong") == Ask("address", "move")


def test_two_answers_without_the_value_lead_to_a_human() -> None:
    dialogue = Dialogue()
    dialogue.hear("Where is my parcel?", sure("track"))
    assert dialogue.hear("I do not know") == Ask("order", "track", again=True)
    assert dialogue.hear("hm hm") == HandOver("not_understood")


def test_a_message_that_is_not_sure_is_clarified_once() -> None:
    dialogue = Dialogue()
    step = dialogue.hear("my order AB-1234 thing", unsure("track", "refund"))
    assert step == Say("clarify", options=["track", "refund"])
    assert dialogue.hear("the first one") == Act(
        "find_order", {"order": "AB-1234"}, 1, False, "track"
    )


@pytest.mark.parametrize(
    ("text", "name"), [("2", "refund"), ("refund please", "refund"), ("第一个", "track")]
)
def test_an_option_is_chosen_by_number_or_by_name(text: str, name: str) -> None:
    dialogue = Dialogue()
    dialogue.hear("order", unsure("track", "refund"))
    dialogue.hear(text)
    assert dialogue.state.intent == name


def test_a_second_message_that_is_not_sure_leads_to_a_human() -> None:
    dialogue = Dialogue()
    dialogue.hear("blue", unsure("track", "refund"))
    assert dialogue.hear("green", unsure("move")) == HandOver("not_understood")
    assert dialogue.hear("hello") == Wait()


@pytest.mark.parametrize(
    "text", ["I want to speak to a HUMAN", "转人工", "我要人工客服！", "operator"]
)
def test_a_person_who_asks_for_a_human_gets_one_at_any_time(text: str) -> None:
    assert Dialogue().hear(text, sure("track")) == HandOver("asked")
    assert confirmed().hear(text) == HandOver("asked")


def test_a_tenants_own_words_hand_over() -> None:
    spec = msgspec.structs.replace(SHOP, hand_over_words=["lawyer", "经理"])
    assert Dialogue(spec).hear("I will call my Lawyer") == HandOver("asked")
    assert Dialogue(spec).hear("叫你们经理来") == HandOver("asked")
    assert Dialogue().hear("humane treatment", unsure()) == Say("rephrase")


def test_a_rule_may_hand_over() -> None:
    assert Dialogue().hear("this is a scandal", sure("complaint")) == HandOver("rule")


def test_messages_during_an_action_start_no_other() -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    assert dialogue.hear("yes, yes", sure("refund")) == Say("working", intent="refund")
    assert dialogue.hear("another refund", sure("refund")) == Say("working", intent="refund")
    assert dialogue.result() == Say("done", ARGUMENTS, "refund")
    assert dialogue.result() == Wait(), "a result that comes twice"


def test_the_same_action_is_not_confirmed_twice() -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    dialogue.result()
    step = dialogue.hear("refund AB-1234, it is broken", sure("refund"))
    assert step == Say("already", ARGUMENTS, "refund")


def test_a_yes_to_what_is_on_record_as_done_does_it_no_second_time() -> None:
    dialogue = confirmed()
    name = digest("refund", ARGUMENTS)
    dialogue.state = msgspec.structs.replace(dialogue.state, confirmed=[name])
    assert dialogue.hear("yes") == Say("already", ARGUMENTS, "refund")
    assert not isinstance(dialogue.hear("yes"), Act)


def test_what_was_refused_may_be_asked_for_again() -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    step = dialogue.result("refused", reason_of_refusal="not paid yet")
    assert step == Say("refused", {**ARGUMENTS, "reason_of_refusal": "not paid yet"}, "refund")
    assert isinstance(dialogue.hear("refund AB-1234, broken", sure("refund")), Confirm)


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_an_action_that_fails_leads_to_a_human_and_is_not_repeated(status: str) -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    assert dialogue.result(status) == HandOver(f"action_{status}")
    dialogue.state = resumed(dialogue.state)
    step = dialogue.hear("refund AB-1234, broken", sure("refund"))
    assert isinstance(step, Say if status == "unknown" else Confirm)


def test_a_result_after_a_hand_over_is_kept_and_says_nothing() -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    assert dialogue.hear("human!") == HandOver("asked")
    assert dialogue.result(amount="5 EUR") == Wait()
    assert dialogue.state.facts["amount"] == "5 EUR"
    assert dialogue.state.pending is None


def test_a_result_of_another_action_changes_nothing() -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    before = dialogue.state
    assert dialogue.result(number=7) == Wait()
    assert dialogue.state == before


def test_a_question_is_searched_and_may_be_answered_at_more_length() -> None:
    dialogue = Dialogue()
    step = dialogue.hear("What does delivery cost?", sure("question"))
    assert step == Search("What does delivery cost?", "question")
    query: Arguments = {"query": "What does delivery cost?"}
    assert dialogue.passages(0.8) == Say("passages", query, "question")
    assert dialogue.hear("Tell me more, please") == Search("What does delivery cost?")
    assert dialogue.state.wish == "long"
    assert dialogue.passages(0.8) == Say("passages", query)


def test_a_search_that_finds_nothing_says_so_then_hands_over() -> None:
    dialogue = Dialogue()
    dialogue.hear("What is love?", sure("question"))
    assert dialogue.passages() == Say("nothing", intent="question")
    dialogue.hear("What is life?", sure("question"))
    assert dialogue.passages() == HandOver("nothing")


@pytest.mark.parametrize(
    "text", ["No, leave it", "no no, forget it please", "不要了，算了", "先不办了，算了"]
)
def test_a_no_with_a_reason_to_stop_is_a_no(text: str) -> None:
    dialogue = confirmed()
    assert dialogue.hear(text, unsure("track")) == Say("cancelled")


@pytest.mark.parametrize("text", ["Sorry, it is AB-9999, not that one", "说错了，是AB-9999"])
def test_a_correction_is_no_other_wish_whatever_the_classifier_says(text: str) -> None:
    dialogue = confirmed()
    corrected: Arguments = {**ARGUMENTS, "order": "AB-9999"}
    assert dialogue.hear(text, sure("track")) == Confirm("refund", corrected, "refund")


@pytest.mark.parametrize("text", ["My order number is AB-1234", "订单号是AB-1234，谢谢"])
def test_an_answer_in_a_whole_sentence_is_no_other_wish(text: str) -> None:
    dialogue = Dialogue()
    assert dialogue.hear("I want a refund", sure("refund")) == Ask("order", "refund")
    assert dialogue.hear(text, sure("track")) == Ask("reason", "refund")
    assert dialogue.state.slots == {"order": "AB-1234"}


def answered(dialogue: Dialogue) -> None:
    dialogue.hear("What does delivery cost?", sure("question"))
    assert dialogue.passages(0.8) == Say(
        "passages", {"query": "What does delivery cost?"}, "question"
    )


@pytest.mark.parametrize("text", ["That does not help me.", "我问的不是这个。", "not what I asked"])
def test_who_is_not_helped_twice_gets_a_human(text: str) -> None:
    dialogue = Dialogue()
    answered(dialogue)
    assert dialogue.hear(text, sure("question")) == Say("rephrase")
    answered(dialogue)
    assert dialogue.hear(text, sure("complaint")) == HandOver("not_helped")


@pytest.mark.parametrize("text", ["I do not accept that!", "我不接受这个结果。"])
def test_who_does_not_accept_an_outcome_gets_a_human(text: str) -> None:
    dialogue = confirmed()
    dialogue.hear("yes")
    assert dialogue.result("refused") == Say("refused", ARGUMENTS, "refund")
    assert dialogue.hear(text, sure("refund", 0.7)) == HandOver("not_accepted")


def test_discontent_counts_after_an_answer_only() -> None:
    dialogue = Dialogue()
    assert dialogue.hear("It is no help, where is AB-1234?", sure("track")) == Act(
        "find_order", {"order": "AB-1234"}, 1, False, "track"
    )
    dialogue.result()
    step = dialogue.hear("that is wrong, I need AB-9999", sure("track", 0.95))
    assert step == Act("find_order", {"order": "AB-9999"}, 2, False, "track")


def test_what_no_intent_is_sure_of_is_searched_if_the_version_says_so() -> None:
    spec = msgspec.structs.replace(SHOP, unsure="knowledge", least_score=0.5)
    dialogue = Dialogue(spec)
    assert dialogue.hear("about gift cards", unsure("track")) == Search("about gift cards")
    assert dialogue.passages(0.4, 0.1) == Say("clarify", options=["track"])
    assert dialogue.hear("about gift cards", unsure("track")) == Search("about gift cards")
    assert dialogue.passages(0.6) == Say("passages", {"query": "about gift cards"})


def test_the_language_and_the_wish_of_a_person_are_kept() -> None:
    dialogue = Dialogue()
    assert dialogue.hear("你们几点开门？", sure("opening_hours")) == Say(
        "reply", {}, "opening_hours"
    )
    assert dialogue.hear("简短一点") == Say("wish", {"length": "short"})
    dialogue.hear("AB-1234 OK", sure("track"))
    assert (dialogue.state.language, dialogue.state.wish) == ("zh", "short")
    dialogue.result()
    dialogue.hear("where is my order AB-1234", sure("track"))
    assert dialogue.state.language == "en"


@pytest.mark.parametrize(
    ("text", "key"),
    [("thanks!", "welcome"), ("谢谢", "welcome"), ("hi", "greeting"), ("ok", "go_on")],
)
def test_courtesies_are_answered(text: str, key: str) -> None:
    dialogue = Dialogue()
    dialogue.hear("When are you open?", sure("opening_hours"))
    assert dialogue.hear(text) == Say(key)


def test_a_farewell_ends_a_dialogue_also_amid_a_question() -> None:
    dialogue = confirmed()
    assert dialogue.hear("bye") == Done("left")
    dialogue = Dialogue()
    assert dialogue.hear("Bye bye, thanks!") == Done()


def test_too_many_turns_lead_to_a_human() -> None:
    dialogue = Dialogue()
    for _turn in range(SHOP.most_turns):
        assert dialogue.hear("open?", sure("opening_hours")) == Say("reply", {}, "opening_hours")
    assert dialogue.hear("open?", sure("opening_hours")) == HandOver("turn_limit")


def test_a_dialogue_that_a_human_gives_back_goes_on() -> None:
    dialogue = confirmed()
    dialogue.hear("human")
    dialogue.state = resumed(dialogue.state)
    assert dialogue.hear("yes") == Say("go_on"), "the confirmation of before is gone"
    assert dialogue.hear("open?", sure("opening_hours")) == Say("reply", {}, "opening_hours")


@pytest.mark.parametrize("text", ["。" * 3_999 + "x", ", " * 1_999 + "x", "ﷺ" * 4_000])
def test_no_message_keeps_a_process_busy(text: str) -> None:
    """All dialogues of a process wait while it reads one message."""
    dialogue = confirmed()
    began = time.process_time()
    dialogue.hear(text, sure("track"))
    assert time.process_time() - began < 0.3


def test_an_intent_that_another_version_lacks_is_forgotten() -> None:
    dialogue = confirmed()
    intents = [intent for intent in SHOP.intents if intent.name != "refund"]
    dialogue.spec = msgspec.structs.replace(SHOP, intents=intents)
    assert dialogue.hear("yes") == Say("rephrase")
    assert dialogue.state.actions == 0


def test_actions_that_move_money_are_confirmed_whatever_the_rule_says() -> None:
    dialogue = Dialogue(SHOP.confirming(frozenset({"find_order"})))
    step = dialogue.hear("Where is AB-1234?", sure("track"))
    assert step == Confirm("find_order", {"order": "AB-1234"}, "track")


def test_a_state_is_stored_as_it_is() -> None:
    dialogue = confirmed()
    assert unpacked(packed(dialogue.state)) == dialogue.state
    assert unpacked(b"{}") == State()


def test_a_new_dialogue_opens_in_a_language_of_the_assistant() -> None:
    assert opened(SHOP, "zh") == (State(language="zh"), Say("greeting"))
    assert opened(SHOP, "fr") == (State(language="en"), Say("greeting"))
