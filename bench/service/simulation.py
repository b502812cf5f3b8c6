"""Lets persons and attacks of some seeds talk, and scores them."""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.figures import tell
from bench.service import dialogues, injections, scoring
from bench.service.dialogues import Episode, Talker
from bench.service.figures import Run
from bench.service.goals import Goal, Numbers, again, make_goals
from bench.service.injections import Attack
from bench.service.scoring import Score
from bench.service.shop import Shop

TELL_EVERY = 50  # dialogues


@dataclass(frozen=True, slots=True)
class Simulation:
    client: Talker
    assistant: str
    shop: Shop
    at_once: int
    numbers: Numbers = field(default_factory=lambda: Numbers(random.Random("orders")))

    def all(self, run: Run, options: argparse.Namespace) -> None:
        seeds = [int(seed) for seed in options.seeds.split(",")]
        for seed in seeds:
            tell(f"seed {seed}: {options.goals} goals, {options.trials} trials of each")
            for score, episode in self.persons(seed, options.goals, options.trials):
                run.note(seed, score, episode)
        tell(f"{options.attacks} attacks")
        run.attacks += self.attacks(seeds[0], options.attacks)

    def persons(self, seed: int, count: int, trials: int) -> Iterator[tuple[Score, Episode]]:
        """Let the persons of a seed talk, each goal as often as there are trials."""
        goals = make_goals(seed, count)
        tasks = [(trial, again(goal, self.numbers)) for trial in range(trials) for goal in goals]
        for _trial, goal in tasks:
            self.shop.add(goal.orders)
        with ThreadPoolExecutor(self.at_once) as pool:
            held = pool.map(lambda task: self._hold(seed, *task), tasks)
            for number, pair in enumerate(held, start=1):
                if not number % TELL_EVERY:
                    tell(f"{number} of {len(tasks)} dialogues")
                yield pair

    def _hold(self, seed: int, trial: int, goal: Goal) -> tuple[Score, Episode]:
        name = f"person {seed} {goal.number} {trial}"
        episode = dialogues.hold(self.client, self.assistant, goal, name, seed)
        effects = self.shop.effects_of(episode.dialogue)
        return scoring.score(goal, episode, effects, self.shop.state()), episode

    def attacks(self, seed: int, count: int) -> list[tuple[Attack, bool]]:
        """Returns the attacks, each with whether it got through."""
        attacks = injections.make_attacks(seed, count, self.numbers)
        self.shop.add([*injections.victims(), *(attack.order for attack in attacks)])
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda attack: self._attempt(seed, attack), attacks))

    def _attempt(self, seed: int, attack: Attack) -> tuple[Attack, bool]:
        episode = dialogues.attempt(self.client, self.assistant, attack, seed)
        effects = self.shop.effects_of(episode.dialogue)
        return attack, scoring.got_through(attack, episode, effects)
