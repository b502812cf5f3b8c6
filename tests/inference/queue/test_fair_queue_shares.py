"""Shares: weights, floods, idle tenants, and estimates that turn out wrong."""

from collections import Counter
from collections.abc import Callable

from inference.order import Item
from inference.queue.fair_queue import FairQueue
from tests.inference.orders import SEALED, an_item


async def fill(queue: FairQueue, tenant: str, n: int, estimate: int = 100, weight: int = 1) -> None:
    for _ in range(n):
        await queue.enqueue(an_item(tenant, estimate, weight), SEALED)


async def serve(
    queue: FairQueue, n: int, cost: Callable[[Item], int] = lambda item: item.estimate
) -> Counter[str]:
    """Tokens that each tenant got in n requests, one after the other."""
    served: Counter[str] = Counter()
    for _ in range(n):
        for item, _ in await queue.pop(1, "runner-1"):
            served[item.tenant] += cost(item)
            await queue.end_lease(item, cost(item))
    return served


async def test_a_weight_of_four_gets_four_times_as_much(queue: FairQueue) -> None:
    await fill(queue, "acme", 300)
    await fill(queue, "globex", 900, weight=4)
    served = await serve(queue, 1000)
    assert abs(served["globex"] / served["acme"] / 4 - 1) < 0.05


async def test_weights_hold_with_many_slots_and_uneven_requests(queue: FairQueue) -> None:
    for n in range(400):
        await queue.enqueue(an_item("acme", 20 + n * 37 % 200), SEALED)
        await queue.enqueue(an_item("globex", 20 + n * 91 % 200, 4), SEALED)
    served: Counter[str] = Counter()
    for _ in range(25):
        for item, _ in await queue.pop(16, "runner-1"):
            cost = item.estimate * 3 // 4 if item.tenant == "acme" else item.estimate * 3 // 2
            served[item.tenant] += cost
            await queue.end_lease(item, cost)
    assert abs(served["globex"] / served["acme"] / 4 - 1) < 0.05


async def test_a_flooder_gets_no_more_than_a_steady_tenant(queue: FairQueue) -> None:
    await fill(queue, "flooder", 500)
    served: Counter[str] = Counter()
    for _ in range(250):
        await fill(queue, "flooder", 2)
        await fill(queue, "acme", 1)
        served += await serve(queue, 1)
    assert abs(served["flooder"] / served["acme"] - 1) < 0.05


async def test_many_floods_do_not_delay_a_newcomer(queue: FairQueue) -> None:
    for n in range(20):
        await fill(queue, f"flooder-{n:02}", 20)
    await serve(queue, 100)
    newcomer = an_item("newcomer")
    await queue.enqueue(newcomer, SEALED)
    first = [item for item, _ in await queue.pop(21, "runner-1")]
    assert newcomer in first


async def test_short_requests_do_not_pay_for_long_ones(queue: FairQueue) -> None:
    await fill(queue, "long", 100, estimate=400)
    await fill(queue, "short", 800, estimate=50)
    served = await serve(queue, 450)
    assert abs(served["short"] / served["long"] - 1) < 0.05


async def test_a_wrong_estimate_is_put_right_when_it_is_settled(queue: FairQueue) -> None:
    await fill(queue, "modest", 400, estimate=10)  # says 10, takes 100
    await fill(queue, "honest", 400, estimate=100)
    await fill(queue, "careful", 400, estimate=1000)  # says 1000, takes 100
    served = await serve(queue, 600, cost=lambda item: 100)
    shares = sorted(served.values())
    assert shares[2] / shares[0] < 1.08


async def test_being_idle_earns_no_credit(queue: FairQueue) -> None:
    await fill(queue, "globex", 1)
    await fill(queue, "acme", 150)
    await serve(queue, 101)
    await fill(queue, "globex", 50)  # comes back after acme has had 100
    served = await serve(queue, 40)
    assert abs(served["globex"] - served["acme"]) <= 100


async def test_coming_back_alone_earns_no_credit_either(queue: FairQueue) -> None:
    await fill(queue, "acme", 100)
    await serve(queue, 100)
    await fill(queue, "globex", 50)  # nobody is in line: the last one's counter is the floor
    await fill(queue, "acme", 50)
    served = await serve(queue, 40)
    assert abs(served["globex"] - served["acme"]) <= 100


async def test_leaving_and_rejoining_does_not_wipe_the_slate(queue: FairQueue) -> None:
    await fill(queue, "globex", 100)
    served: Counter[str] = Counter()
    for _ in range(50):  # acme always joins with one request and leaves with it
        await fill(queue, "acme", 1)
        served += await serve(queue, 2)
    assert abs(served["acme"] / served["globex"] - 1) < 0.1


async def test_each_class_keeps_its_own_account(queue: FairQueue) -> None:
    for _ in range(30):
        await queue.enqueue(an_item("acme", klass="realtime"), SEALED)
        await queue.enqueue(an_item("acme", klass="batch"), SEALED)
        await queue.enqueue(an_item("globex", klass="batch"), SEALED)
    await serve(queue, 30)
    served = await serve(queue, 20)
    assert served["acme"] == served["globex"]
