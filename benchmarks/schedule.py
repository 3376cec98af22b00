"""What loading models costs under several ways to queue before one graphics card: a simulation, no measurement.

    python -m benchmarks.schedule [--seeds 20] [--requests 200] [--every 20 10 6]

Policy and schedule are the product's own (`inference.policy`, `inference.schedule`); the card is arithmetic. Assumed,
and not measured on a card: decoding reaches 0.65 of the card's bandwidth, a prompt is read 20 times as fast as an
answer is written, a load takes 1.5 s and the file at 3 GB/s. `seed` is the first recommendation for this card (a 7B, a
7B and a 13B model, none beside another), favoured here: its 13B model lies on the card as a whole. Loads count whether
anybody waits for them or not.
"""

import argparse
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf

from inference.decision import Known, RunnerView, Wanted
from inference.pace import Pace, first_pace
from inference.plan import make_plan
from inference.policy import decide
from inference.profile import Profile, keep_seconds, load
from inference.room import PlannedRoom
from inference.schedule import Drop, Effect, Preload, Room, Rules, Schedule, Start, Ticket

# What a command is: the tier the seed gives it, tokens of its prompt and answer, its deadline in seconds, how often.
MIX: Mapping[str, tuple[str, int, int, float, int]] = {
    "orient": ("fast", 3000, 150, 6, 4),
    "update": ("fast", 1500, 120, 10, 8),
    "update, complex": ("balanced", 3000, 300, 12, 3),
    "plan": ("balanced", 6000, 500, 40, 1),
    "research": ("deep", 6000, 700, 85, 1),
}
# Prompts and answers are so much shorter or longer than usual, at most.
_SPREAD = 0.4
# A request waits for a loaded model for ever where nothing bounds it: for so long somebody asks for the other one.
_STREAM_SECONDS = 300


@dataclass(frozen=True)
class Request:
    """One request of a trace: when, what for, and how long its prompt and its answer are."""

    at: float
    command: str
    prompt: float
    answer: float

    @property
    def deadline(self) -> float:
        """Seconds that the person waits."""
        return MIX[self.command][3]


@dataclass
class Card:
    """What serves a trace: models with their paces, what fits together, and which command gets which."""

    paces: Mapping[str, Pace]
    room: Room
    commands: Mapping[str, str]
    profile: Profile | None = None


@dataclass(frozen=True)
class Outcome:
    """How a trace went: models loaded, waits in seconds by request, requests past their deadline, substitutions."""

    loads: int
    waits: Mapping[Request, float]
    begun: Mapping[Request, float]
    substituted: int = 0
    refused: Sequence[tuple[float, float]] = ()

    @property
    def missed(self) -> float:
        """Share of the requests that ended past their deadline."""
        return sum(wait > request.deadline for request, wait in self.waits.items()) / len(self.waits)

    @property
    def mean(self) -> float:
        """Seconds from a request to the end of its answer, on average."""
        return statistics.mean(self.waits.values())


def trace(seed: int, requests: int, every: float) -> list[Request]:
    """A random trace of the mix, one request in so many seconds on average."""
    dice, at = random.Random(seed), 0.0
    found = []
    for _ in range(requests):
        at += dice.expovariate(1 / every)
        name = dice.choices(list(MIX), [one[4] for one in MIX.values()])[0]
        size = dice.uniform(1 - _SPREAD, 1 + _SPREAD)
        found.append(Request(at, name, MIX[name][1] * size, MIX[name][2] * size))
    return found


def card(profile: Profile) -> Card:
    """The card of a profile, with its command table; `/update` goes by its words."""
    node = make_plan(profile).nodes[0]
    paces = {seat.runner.name: first_pace(seat) for seat in node.seats}
    tiers = {tier: names[0] for tier, names in profile.tiers.items()}

    def runner(command: str, tier: str) -> str:
        target = profile.commands.get(_name(command), tier)
        return tiers.get(target, target)

    commands = {command: runner(command, one[0]) for command, one in MIX.items()}
    return Card(paces, PlannedRoom(node), commands, profile)


def without_substitutes(profile: Profile) -> Profile:
    """The profile with no model that stands in for another."""
    runners = {name: replace(runner, substitutes=()) for name, runner in profile.runners.items()}
    return replace(profile, runners=runners)


def _name(command: str) -> str:
    return command.partition(",")[0]


class _Alone:
    """No model fits beside another, and none is loaded ahead."""

    order: tuple[str, ...] = ()

    def pushed_out(self, resident: Sequence[str], runner: str) -> tuple[str, ...]:
        return tuple(name for name in resident if name != runner)


def seed_card() -> Card:
    """The first recommendation, its 13B model wholly on the card."""
    files = {"fast": 5.53e9, "balanced": 5.94e9, "deep": 7.87e9}
    writes = {name: 0.65 * 760e9 / size for name, size in files.items()}
    paces = {
        name: Pace(1.5 + size / 3e9, 1.5 + size / 3e9, 20 * writes[name], writes[name]) for name, size in files.items()
    }
    return Card(paces, _Alone(), {name: one[0] for name, one in MIX.items()})


# --- the schedule of the product


class _Served:
    """A trace served by the product's own policy and schedule.

    They know prompts, and of answers what a command usually writes.
    """

    def __init__(self, card: Card, queue: int, *, preload: bool, known_answers: bool) -> None:
        assert card.profile is not None
        self.card, self.profile = card, card.profile
        keep = {name: keep_seconds(runner.keep_alive) for name, runner in card.profile.runners.items()}
        rules = Rules(1, queue, dict.fromkeys(keep, 1), keep, preload=preload)
        self.schedule = Schedule(rules, card.room, lambda name: card.paces[name].warm)
        self.known_answers = known_answers
        self.number = count(1)
        self.events: list[tuple[float, int, Callable[[float], list[Effect]]]] = []
        self.asked: dict[int, Request] = {}
        self.begun: dict[Request, float] = {}
        self.ended: dict[Request, float] = {}
        self.refused: list[tuple[float, float]] = []
        self.loads = self.substituted = 0

    def run(self, requests: Sequence[Request]) -> Outcome:
        for request in requests:
            self._put(request.at, partial(self._arrive, request))
        while self.events:
            now, _, event = heappop(self.events)
            for effect in event(now):
                self._do(effect, now)
            wake = self.schedule.wakes_at()
            if wake < inf and len(self.ended) + len(self.refused) < len(requests):
                self._put(max(wake, now + 1e-6), self.schedule.wake)
        waits = {request: at - request.at for request, at in self.ended.items()}
        # What a refused request would have waited for: the next place that became free.
        starts = sorted(self.begun.values())
        truth = [(told, next((at - when for at in starts if at > when), 0.0)) for when, told in self.refused]
        begun = {request: at - request.at for request, at in self.begun.items()}
        return Outcome(self.loads, waits, begun, self.substituted, truth)

    def _put(self, at: float, event: Callable[[float], list[Effect]]) -> None:
        heappush(self.events, (at, next(self.number), event))

    def _work(self, runner: str, request: Request) -> float:
        answer = request.answer if self.known_answers else MIX[request.command][2]
        return self.card.paces[runner].work(request.prompt, answer)

    def _view(self, runner: str, request: Request, now: float) -> RunnerView:
        there = runner == self.schedule.loading or runner in self.schedule.resident(now)
        load = 0.0 if there else self.card.paces[runner].warm
        eta = self.schedule.forecast(now, Ticket(0, runner, now, self._work(runner, request)))[0]
        return RunnerView(eta, load)

    def _arrive(self, request: Request, now: float) -> list[Effect]:
        if self.schedule.full:
            self.refused.append((now, self.schedule.free_in(now)))
            return []
        known = Known(runners={name: self._view(name, request, now) for name in self.profile.runners})
        wanted = Wanted(_name(request.command))
        decision = decide(self.profile, wanted, default_tier=MIX[request.command][0], id="", known=known)
        self.substituted += decision.rule.endswith("+substitute")
        identity = next(self.number)
        self.asked[identity] = request
        return self.schedule.arrive(Ticket(identity, decision.runner, now, self._work(decision.runner, request)), now)

    def _end(self, identity: int, now: float) -> list[Effect]:
        self.ended[self.asked[identity]] = now
        return self.schedule.leave(identity, now)

    def _do(self, effect: Effect, now: float) -> None:
        match effect:
            case Start(ticket, loads):
                request, pace = self.asked[ticket.id], self.card.paces[ticket.runner]
                self.begun[request] = now
                if loads:
                    self._load(ticket.runner, now)
                at = now + pace.warm * loads
                self._put(at + pace.work(request.prompt, request.answer), partial(self._end, ticket.id))
            case Preload(runner):
                self._load(runner, now)
            case Drop():
                pass

    def _load(self, runner: str, now: float) -> None:
        self.loads += 1
        self._put(now + self.card.paces[runner].warm, partial(self._loaded, runner, self.loads))

    def _loaded(self, runner: str, load: int, now: float) -> list[Effect]:
        """A load is done, unless another began since: then it was given up."""
        return self.schedule.loaded(runner, now) if load == self.loads else []


def scheduled(
    card: Card, requests: Sequence[Request], *, queue: int = 10_000, preload: bool = True, known_answers: bool = False
) -> Outcome:
    """Serve a trace by the product's own policy and schedule."""
    return _Served(card, queue, preload=preload, known_answers=known_answers).run(requests)


# --- ways to queue that it is held against


def fifo(waiting: Sequence[Request], _: Sequence[str], __: Card) -> Request:
    """First come, first served."""
    return waiting[0]


def loaded_first(waiting: Sequence[Request], resident: Sequence[str], card: Card) -> Request:
    """Whoever finds its model in memory goes first, for ever: what Ollama does in effect."""
    return next((one for one in waiting if card.commands[one.command] in resident), waiting[0])


Pick = Callable[[Sequence[Request], Sequence[str], Card], Request]


def picked(card: Card, requests: Sequence[Request], pick: Pick) -> Outcome:
    """Serve a trace one after another as `pick` says; nothing is loaded ahead."""
    now, loads = 0.0, 0
    coming, waiting = list(requests), list[Request]()
    resident: list[str] = []
    waits: dict[Request, float] = {}
    begun: dict[Request, float] = {}
    while coming or waiting:
        while coming and coming[0].at <= now:
            waiting.append(coming.pop(0))
        if not waiting:
            now = coming[0].at
            continue
        request = pick(waiting, resident, card)
        waiting.remove(request)
        runner = card.commands[request.command]
        begun[request] = now - request.at
        if runner not in resident:
            gone = card.room.pushed_out(resident, runner)
            resident = [name for name in resident if name not in gone] + [runner]
            now += card.paces[runner].warm
            loads += 1
        now += card.paces[runner].work(request.prompt, request.answer)
        waits[request] = now - request.at
    return Outcome(loads, waits, begun)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--every", type=float, nargs="*", default=[20, 10, 6])
    asked = options.parse_args()
    default, seeds = card(load("rtx3080")), card(load("rtx3080-seed"))
    plain, plain_seeds = (card(without_substitutes(load(name))) for name in ("rtx3080", "rtx3080-seed"))
    ways: Mapping[str, Callable[[Sequence[Request]], Outcome]] = {
        "seed, first come first served": lambda t: picked(seed_card(), t, fifo),
        "seed, loaded first": lambda t: picked(seed_card(), t, loaded_first),
        "rtx3080-seed, first come first served": lambda t: picked(seeds, t, fifo),
        "rtx3080-seed, loaded first": lambda t: picked(seeds, t, loaded_first),
        "rtx3080-seed, the schedule without substitutes": lambda t: scheduled(plain_seeds, t),
        "rtx3080-seed, the schedule": lambda t: scheduled(seeds, t),
        "rtx3080, first come first served": lambda t: picked(default, t, fifo),
        "rtx3080, loaded first": lambda t: picked(default, t, loaded_first),
        "rtx3080, the schedule without substitutes": lambda t: scheduled(plain, t),
        "rtx3080, the schedule without preload": lambda t: scheduled(default, t, preload=False),
        "rtx3080, the schedule": lambda t: scheduled(default, t),
    }
    print(f"A simulation: {asked.requests} requests, medians of {asked.seeds} traces")
    for every in asked.every:
        print(
            f"\n| one request in {every:g} s | models loaded | mean wait s | p95 s | longest s | late % | substituted |"
        )
        print("|---|---|---|---|---|---|---|")
        traces = [trace(seed, asked.requests, every) for seed in range(asked.seeds)]
        for name, way in ways.items():
            print(f"| {name} | {_row([way(one) for one in traces])} |")
    print("\nA request for the loaded model every 2 s for 300 s, and one for another after 5 s:")
    for name, begun, mean in starving(seeds):
        print(f"  {name}: the other begins after {begun:.0f} s, the stream waits {mean:.1f} s on average")
    print("\nRetry-After of a full line (8 may wait, one request in 3 s) against the time until a place was free:")
    for known, says in ((False, "answers of any length"), (True, "answers as long as was thought")):
        print(f"  {says}: {retries(default, asked.seeds, asked.requests, known_answers=known)}")


def _row(found: Sequence[Outcome]) -> str:
    def median(of: Callable[[Outcome], float]) -> float:
        return statistics.median(of(one) for one in found)

    waits = [sorted(one.waits.values()) for one in found]
    p95 = statistics.median(one[int(0.95 * len(one))] for one in waits)
    longest = statistics.median(one[-1] for one in waits)
    parts = (median(lambda one: one.loads), median(lambda one: one.mean), p95, longest)
    return " | ".join(
        [
            *(f"{part:.1f}" for part in parts),
            f"{100 * median(lambda one: one.missed):.0f}",
            f"{median(lambda one: one.substituted):.0f}",
        ]
    )


def starving(card: Card) -> Iterator[tuple[str, float, float]]:
    """What becomes of one request for another model beside a stream that keeps the card busy."""
    profile = without_substitutes(load("rtx3080-seed"))
    own = replace(profile, commands={}, tiers={"fast": ("codellama-7b",), "balanced": ("mistral-7b",)})
    alone = replace(card, profile=own, commands={"update": "codellama-7b", "update, complex": "mistral-7b"})
    stream = [Request(2.0 * n, "update", 1500, 120) for n in range(_STREAM_SECONDS // 2)]
    other = Request(5.0, "update, complex", 3000, 300)
    requests = sorted([*stream, other], key=lambda one: one.at)
    for name, outcome in (
        ("first come first served", picked(alone, requests, fifo)),
        ("loaded first", picked(alone, requests, loaded_first)),
        ("the schedule", scheduled(alone, requests)),
    ):
        yield name, outcome.begun[other], statistics.mean(outcome.waits[one] for one in stream)


def retries(card: Card, seeds: int, requests: int, *, known_answers: bool = False) -> str:
    """How near what refused requests were told is to what they would have waited; nothing below a second is told."""
    found = [
        (max(1.0, told), max(1.0, true))
        for seed in range(seeds)
        for told, true in scheduled(card, trace(seed, requests, 3), queue=8, known_answers=known_answers).refused
    ]
    near = sum(abs(told / true - 1) <= 0.3 for told, true in found)
    ratio = statistics.median(told / true for told, true in found)
    return f"{len(found)} refused, {100 * near / len(found):.0f} % within 30 %, median ratio {ratio:.2f}"


if __name__ == "__main__":
    main()
