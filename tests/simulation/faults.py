"""What can go wrong in a world, by its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Plan:
    """What the world is like in one run."""

    runners: int = 3
    people: int = 1
    tasks: int = 4
    mishap: float = 0.1  # of a conversation
    crash: float = 0.0  # of a step on a machine
    cut: float = 0.0  # of a machine, each ten seconds
    outage: float = 0.0  # of the server, each ten seconds
    slow: float = 0.0  # all answers of the server for a while
    suspend: float = 0.0
    jump: float = 0.0  # of a wall clock
    refuse: float = 0.0  # the server protects the target
    fails: float = 0.15  # of an attempt
    pace: float = 1.0  # how long coders take
    judge: bool = False  # a validator besides the checks
    fresh: bool = False  # coders begin afresh each time
    busy: float = 200.0  # seconds in which things go wrong and people act
    mutants: frozenset[str] = field(default_factory=frozenset)


def plan_of(seed: int, mutants: frozenset[str]) -> Plan:
    """What a seed means. Half of the worlds have few sorts of fault, so that each shows alone. A
    third is about leases: long work and links that go; another about crashes where messages get
    lost."""
    dice = random.Random(f"plan {seed}")
    few = dice.random() < 0.5

    def some(most: float) -> float:
        return dice.random() * most if not few or dice.random() < 0.35 else 0.0

    plan = Plan(
        runners=dice.choice([1, 1, 2, 2, 3, 3, 4, 5]),
        people=dice.choice([0, 1, 1, 2]),
        tasks=dice.randint(2, 5),
        mishap=some(0.35),
        crash=some(0.01),
        cut=some(0.08),
        outage=some(0.03),
        slow=some(0.05),
        suspend=some(0.05),
        jump=some(0.15),
        refuse=some(0.04),
        fails=dice.random() * 0.3,
        judge=dice.random() < 0.4,
        fresh=dice.random() < 0.4,
        busy=dice.choice([100.0, 200.0, 300.0]),
        mutants=mutants,
    )
    if seed % 3 == 0:
        plan.runners = dice.choice([2, 2, 3])
        plan.people = 0
        plan.tasks, plan.fails = 4, 0.1
        plan.mishap, plan.crash, plan.outage = some(0.02), some(0.0005), some(0.01)
        plan.cut, plan.slow, plan.suspend = 0.02, 0.0, some(0.005)
        plan.pace, plan.busy = 5.0, 400.0
    if seed % 3 == 1:
        plan.runners = dice.choice([1, 1, 2, 3])
        plan.mishap, plan.crash = 0.1 + dice.random() * 0.3, 0.002 + dice.random() * 0.008
        plan.cut, plan.outage, plan.suspend = some(0.02), some(0.01), 0.0
    return plan
