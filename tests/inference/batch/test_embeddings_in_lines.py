"""Lines of a batch that ask for embeddings."""

import base64
import struct
from typing import Any

import orjson
import pytest

from inference.engines.transport.session import EngineSession
from inference.models import Usage
from inference.order import Order
from tests.inference.batch.conftest import CHAT, Echo, Shop, rows_of

PATH = "/v1/embeddings"


class Embeds(Echo):
    """A vector for each input, with its length."""

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        self.asked.append(order)
        inputs = orjson.loads(order.body)["input"]
        vectors = [base64.b64encode(struct.pack("<f", len(each))).decode() for each in inputs]
        data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return orjson.dumps({"data": data, "usage": {"prompt_tokens": sum(map(len, inputs))}})


@pytest.fixture
def echo() -> Echo:
    return Embeds()


def line(number: int, inputs: Any, url: str = PATH, **fields: Any) -> dict[str, Any]:
    body = {"model": "mock", "input": inputs, **fields}
    return {"custom_id": f"id-{number}", "method": "POST", "url": url, "body": body}


async def test_each_line_has_its_vectors_or_its_error(shop: Shop) -> None:
    lines = [line(0, "hello"), line(1, ["a", "bc"]), line(2, ""), line(3, [5, 6, 7])]
    batch = await shop.done(await shop.begin(lines, PATH))
    assert (batch["status"], batch["endpoint"]) == ("completed", PATH)
    assert batch["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
    done = {row["custom_id"]: row["response"] for row in await shop.lines(batch["output_file_id"])}
    vectors = {
        name: [row["embedding"] for row in response["body"]["data"]]
        for name, response in done.items()
    }
    assert vectors == {"id-0": [[5.0]], "id-1": [[1.0], [2.0]], "id-3": [[3.0]]}
    (failed,) = await shop.lines(batch["error_file_id"])
    error = failed["response"]["body"]["error"]
    assert (failed["custom_id"], error["param"]) == ("id-2", "input")
    usages = await rows_of(Usage.objects.filter(klass="batch"))
    assert sorted(usage.prompt_tokens for usage in usages if usage.status == 200) == [3, 3, 5]


async def test_a_line_to_another_path_fails_the_batch(shop: Shop) -> None:
    batch = await shop.done(await shop.begin([line(0, "hello", CHAT)], PATH))
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "mismatched_url")
