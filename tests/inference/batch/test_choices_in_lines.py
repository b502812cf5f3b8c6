"""Lines of a batch that ask for several answers."""

import pytest

from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.models import Usage
from inference.order import Order
from tests.inference.batch.conftest import Echo, Shop, line, rows_of


class Numbering(Echo):
    """Says how often it has been asked the same; fails when it is asked `breaks_at` times."""

    breaks_at = 0

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        number = 1 + sum(each.body == order.body for each in self.asked)
        self.failure = None
        if number == self.breaks_at:
            self.failure = EngineFailed(500, "engine_failed", "it broke")
            self.failure.engines_fault = False
        answer = await super().answer(session, order)
        return answer.replace(b'"say 0"', b'"say 0, %d"' % number)


@pytest.fixture
def echo(request: pytest.FixtureRequest) -> Numbering:
    return Numbering(slots=getattr(request, "param", 4))


async def test_a_line_with_several_answers_is_one_bill_and_fails_alone(
    shop: Shop, echo: Numbering
) -> None:
    lines = [line(number) for number in range(3)]
    lines[0]["body"]["n"], lines[1]["body"]["n"] = 3, 9
    batch = await shop.done(await shop.begin(lines))
    assert (batch["status"], batch["request_counts"]["failed"]) == ("completed", 1)
    done = {row["custom_id"]: row["response"] for row in await shop.lines(batch["output_file_id"])}
    choices = {
        name: [(choice["index"], choice["message"]["content"]) for choice in row["body"]["choices"]]
        for name, row in done.items()
    }
    three = [(number, f"say 0, {number + 1}") for number in range(3)]
    assert choices == {"id-0": three, "id-2": [(0, "say 2")]}
    (failed,) = await shop.lines(batch["error_file_id"])
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("id-1", 400)
    assert failed["response"]["body"]["error"]["param"] == "n"
    assert sorted(echo.said) == ["say 0", "say 0", "say 0", "say 2"], "too many are asked of none"
    usages = await rows_of(Usage.objects.filter(klass="batch"))
    billed = sorted((row.prompt_tokens, row.completion_tokens) for row in usages)
    assert billed == [(5, 3), (15, 9)]
    assert done["id-0"]["body"]["usage"]["total_tokens"] == 24


@pytest.mark.parametrize("echo", [1], indirect=True)  # slots: one question after the other
async def test_a_line_of_which_one_answer_fails_has_none_and_pays_for_those_before(
    shop: Shop, echo: Numbering
) -> None:
    echo.breaks_at = 3
    lines = [line(0), line(1)]
    lines[0]["body"]["n"] = 3
    batch = await shop.done(await shop.begin(lines))
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    (failed,) = await shop.lines(batch["error_file_id"])
    assert failed["response"]["status_code"] == 500
    assert failed["response"]["body"]["error"]["message"].startswith("it broke (choice 2 of 3")
    assert "choices" not in failed["response"]["body"]
    (done,) = await shop.lines(batch["output_file_id"])
    assert done["custom_id"] == "id-1"
    usages = await rows_of(Usage.objects.filter(klass="batch"))
    billed = sorted((row.prompt_tokens, row.completion_tokens) for row in usages)
    assert billed == [(5, 3), (10, 6)]
