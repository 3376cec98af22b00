"""What nodes cost today, so that their caps hold over all requests of a day, also over a restart."""

from collections.abc import Callable

from inference.ledger import Ledger
from inference.node import NodeUnavailable, Usage
from inference.policy import most_cost
from inference.profile import Profile, RunnerProfile


class Spending:
    """The costs of the present day (UTC), in the one currency of a profile's prices.

    Args:
        profile: names the prices and caps.
        ledger: where earlier decisions of the day are written down; None where nothing is kept.
        day: the present day as an ISO date.
    """

    def __init__(self, profile: Profile, ledger: Ledger | None, day: Callable[[], str]) -> None:
        self._nodes = profile.nodes
        self._ledger = ledger
        self._day = day
        self._of_day: tuple[str, dict[str, float]] = ("", {})

    def today(self) -> dict[str, float]:
        """What each node cost today. At a start it is what was written down, so that a cap holds beyond it."""
        today = self._day()
        if self._of_day[0] != today:
            has_cap = any(node.daily_cap for node in self._nodes.values())
            kept = self._ledger.spent(today) if self._ledger is not None and has_cap else {}
            self._of_day = (today, kept)
        return self._of_day[1]

    def reserve(self, runner: RunnerProfile) -> float:
        """Count a request in full until its answer tells what it took; what it may cost.

        Raises:
            NodeUnavailable: requests decided in the same moment have used up the cap.
        """
        node = self._nodes[runner.node]
        cost = most_cost(node, runner)
        if node.daily_cap and self.today().get(node.name, 0.0) + cost > node.daily_cap:
            hint = "Wait until tomorrow, or raise the cap of the node in the profile."
            raise NodeUnavailable(f"node {node.name} has cost its cap of today", hint=hint)
        self._add(runner, cost)
        return cost

    def settle(self, runner: RunnerProfile, reserved: float, usage: Usage) -> None:
        """A request is answered: what it took stands in the place of what it might have cost."""
        self._add(runner, self._cost(runner, usage) - reserved)

    def give_back(self, runner: RunnerProfile, reserved: float) -> None:
        """A request did not reach its node."""
        self._add(runner, -reserved)

    def _add(self, runner: RunnerProfile, cost: float) -> None:
        spent = self.today()
        if cost:
            spent[runner.node] = max(0.0, spent.get(runner.node, 0.0) + cost)

    def _cost(self, runner: RunnerProfile, usage: Usage) -> float:
        """What an answer cost; what is not told is taken to be the most it can be."""
        node = self._nodes[runner.node]
        read, wrote = usage.prompt_eval_count, usage.completion_tokens
        read = runner.num_ctx - runner.answer_tokens if read is None else read
        wrote = runner.answer_tokens if wrote is None else wrote
        return (read * node.price_in + wrote * node.price_out) / 1e6
