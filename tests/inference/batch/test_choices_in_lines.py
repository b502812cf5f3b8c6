"""Lines of a batch that ask for several answers."""

from inference.models import Usage
from tests.inference.batch.conftest import Shop, line, rows_of


async def test_a_line_with_several_answers_is_one_bill_and_fails_alone(shop: Shop) -> None:
    lines = [line(number) for number in range(3)]
    lines[0]["body"]["n"], lines[1]["body"]["n"] = 3, 9
    batch = await shop.done(await shop.begin(lines))
    assert (batch["status"], batch["request_counts"]["failed"]) == ("completed", 1)
    done = {row["custom_id"]: row["response"] for row in await shop.lines(batch["output_file_id"])}
    choices = {
        name: [(choice["index"], choice["message"]["content"]) for choice in row["body"]["choices"]]
        for name, row in done.items()
    }
    three = [(number, "say 0") for number in range(3)]
    assert choices == {"id-0": three, "id-2": [(0, "say 2")]}
    (failed,) = await shop.lines(batch["error_file_id"])
    assert failed["response"]["body"]["error"]["param"] == "n"
    usages = await rows_of(Usage.objects.filter(klass="batch"))
    billed = sorted((row.prompt_tokens, row.completion_tokens) for row in usages)
    assert billed == [(5, 3), (15, 9)]
    assert done["id-0"]["body"]["usage"]["total_tokens"] == 24
