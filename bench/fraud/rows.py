"""The rows of the study: made-up payments, split by time and drawn by a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from config.demo.payment_inputs import Input, inputs_of
from config.demo.payments import Fraud, World, make_payments

# Days of each part. What happened before 35 only fills the features; a label is known after seven
# days, so seven lie between two parts.
TRAIN, CALIBRATION, TEST = range(35, 70), range(77, 91), range(98, 120)
VALIDATION = 64  # rows: the trainer looks at no more


@dataclass(frozen=True, slots=True)
class Rows:
    inputs: list[Input]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, count: int, chance: random.Random) -> "Rows":
        return self.at(sorted(chance.sample(range(len(self)), min(count, len(self)))))

    def balanced(self, count: int, chance: random.Random) -> "Rows":
        """Returns half frauds and half others, shuffled."""
        sides = [[at for at, label in enumerate(self.labels) if label == side] for side in (0, 1)]
        drawn = [at for side in sides for at in chance.sample(side, min(count // 2, len(side)))]
        chance.shuffle(drawn)
        return self.at(drawn)

    def at(self, numbers: Sequence[int]) -> "Rows":
        return Rows([self.inputs[n] for n in numbers], [self.labels[n] for n in numbers])


@dataclass(frozen=True, slots=True)
class Split:
    """`calibration` and `test` have the natural rate; `early` are all rows to train on.

    `validation` says which epoch is the best. It and `balanced` are half frauds.
    """

    early: Rows
    train: Rows
    validation: Rows
    calibration: Rows
    test: Rows
    balanced: Rows


@dataclass(frozen=True, slots=True)
class Sizes:
    train: int = 2000
    calibration: int = 1000
    test: int = 1500
    balanced: int = 1000


def split(seed: int, sizes: Sizes) -> Split:
    payments = make_payments(World(seed))
    inputs, chance = inputs_of(payments), random.Random(seed)

    def of(days: range) -> Rows:
        chosen = [at for at, payment in enumerate(payments) if payment.day in days]
        labels = [int(payments[at].fraud is not Fraud.NONE) for at in chosen]
        return Rows([inputs[at] for at in chosen], labels)

    early, middle, late = of(TRAIN), of(CALIBRATION), of(TEST)
    train, validation = early.balanced(sizes.train, chance), middle.balanced(VALIDATION, chance)
    drawn = {id(row) for row in validation.inputs}
    others = middle.at([n for n, row in enumerate(middle.inputs) if id(row) not in drawn])
    return Split(
        early=early,
        train=train,
        validation=validation,
        calibration=others.draw(sizes.calibration, chance),
        test=late.draw(sizes.test, chance),
        balanced=late.balanced(sizes.balanced, chance),
    )
