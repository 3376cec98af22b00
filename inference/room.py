"""What the memory of a node holds at once, as Ollama fills it: which models go when one more is loaded. Pure."""

from collections.abc import Sequence

from inference.memory import GIB
from inference.plan import NodePlan, accepts
from inference.profile import keep_seconds
from inference.seat import Seat, placed


class PlannedRoom:
    """The memory of a node by its plan.

    Ollama lets go of one model after another, the one with the shortest keep-alive first, until the new one fits beside
    the rest (`server/sched.go`, `findRunnerToUnload`). Of those with the same keep-alive the path of a file decides,
    which nobody here knows; the name stands in for it, and what the node then has is looked at after each load.

    Args:
        plan: of the node; None where its memory is not planned: everything is taken to fit then.
    """

    def __init__(self, plan: NodePlan | None) -> None:
        self.order = plan.order if plan else ()
        self._plan = plan
        self._seats = {seat.runner.name: seat for seat in plan.seats} if plan else {}
        self._known: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}

    def pushed_out(self, resident: Sequence[str], runner: str) -> tuple[str, ...]:
        """The runners in memory that must go when one more is loaded, in the order they go."""
        key = (tuple(resident), runner)
        if key not in self._known:
            self._known[key] = self._pushed_out(key[0], runner)
        return self._known[key]

    def _pushed_out(self, resident: tuple[str, ...], runner: str) -> tuple[str, ...]:
        left = [self._seats[name] for name in resident if name != runner and name in self._seats]
        wanted = self._seats.get(runner)
        gone: list[str] = []
        while wanted is not None and left and not self._takes(left, wanted):
            first = min(left, key=lambda seat: (keep_seconds(seat.runner.keep_alive), seat.runner.name))
            left.remove(first)
            gone.append(first.runner.name)
        return tuple(gone)

    def _takes(self, there: Sequence[Seat], wanted: Seat) -> bool:
        """Whether a model is loaded beside those that are there, in the order they were loaded in."""
        plan = self._plan
        if plan is None or wanted.need is None:
            return True
        if len(there) >= plan.most:
            return False
        if not plan.cards:
            ram = plan.node.memory.ram_gib * GIB if plan.node.memory else 0
            return not ram or sum(seat.need.host for seat in (*there, wanted) if seat.need) <= ram
        free: tuple[int, ...] | None = plan.cards
        for seat in there:
            if seat.need is not None and free is not None:
                free = placed(seat.need, free)
        if free is None or placed(wanted.need, free) is None:
            return False
        return plan.node.kind != "ollama" or accepts(wanted, free)
