"""The report of a run: what it tells as it goes, and what it has to tell at its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from commands import events
from commands.events import Event
from context.assemble import Context, Passage
from inference.decision import Decision

_NO_USAGE = {"prompt_tokens": 0, "prompt_eval_count": None, "num_ctx": 0, "completion_tokens": None}


class Report:
    """Tells the events of one run. Use it on the event loop; only `notice` may come from a thread.

    Args:
        run: the run's id.
        command: the command's name.
        emit: takes each event.

    Attributes:
        findings: what the person should know.
        degraded: what the answer had to do without.
        timings: milliseconds since the run began.
        usage: tokens sent, read and written, and the window.
    """

    def __init__(self, run: str, command: str, emit: Callable[[Event], None]) -> None:
        self._run = run
        self._command = command
        self._emit = emit
        self._began = time.perf_counter()
        self.findings: list[dict[str, Any]] = []
        self.degraded: list[str] = []
        self.timings: dict[str, float] = {}
        self.usage: dict[str, Any] = dict(_NO_USAGE)

    def clock(self, name: str) -> None:
        """Note the milliseconds since the run began."""
        self.timings[name] = round((time.perf_counter() - self._began) * 1000, 1)

    def notice(self, code: str, message: str, hint: str) -> None:
        """Add a finding that is no fault."""
        self.findings.append(notice(code, message, hint))

    def fault(self, error: Exception) -> None:
        """Add why no model answered; said once."""
        told = events.fault(error)
        if any(one["message"] == told["message"] for one in self.findings):
            return
        if "model" not in self.degraded:
            self.degraded.append("model")
        self.findings.append({**told, "weight": "error", "path": ""})

    def phase(self, name: str, detail: str = "", n: int = 0, total: int = 0) -> None:
        """Tell what is being done (see `commands.events.phase`)."""
        self._emit(events.phase(name, detail, n, total))

    def gathered(self, context: Context, receipt: str, *, sent: int, num_ctx: int) -> None:
        """Tell what was gathered.

        Args:
            context: the passages.
            receipt: the id of its receipt.
            sent: tokens of the prompt, as counted here; 0 without a model.
            num_ctx: the model's window in tokens; 0 without a model.
        """
        self.clock("gathered_ms")
        self.usage = _NO_USAGE | {"prompt_tokens": sent, "num_ctx": num_ctx}
        passages = [
            {"path": p.path, "heading": p.heading, "tokens": p.tokens, "why": p.why, "via": p.via}
            for p in context.passages
        ]
        data = {"stage": "answer", "tokens": context.tokens, "budget": context.budget, "passages": passages}
        self._emit(Event("gathered", data | {"receipt": receipt}))

    def decided(self, decision: Decision) -> None:
        """Tell which model answers."""
        self._emit(Event("decided", {"stage": "answer", "decision": decision.as_dict()}))
        if decision.degraded:
            self.degraded.append("tier")
            hint = "Start the node that is away, or change `fail_soft` in the profile."
            self.notice("stand_in", decision.why, hint)

    def say(self, text: str) -> None:
        """Tell a piece of the answer, unless it is empty."""
        if text:
            self._emit(Event("token", {"stage": "answer", "text": text}))

    def proposed(self, edits: Sequence[Mapping[str, Any]]) -> None:
        """Tell what is written or proposed."""
        self._emit(Event("proposed", {"edits": list(edits)}))

    def checked(self, links: Mapping[str, Any], cited: Sequence[Any], unsupported: Sequence[Any]) -> None:
        """Tell what became of links and citations (see `commands.gate.Links`, `commands.check.citations`)."""
        self._emit(Event("checked", {"links": links, "citations": cited, "unsupported": unsupported}))

    def done(
        self,
        *,
        answer: str,
        passages: Sequence[Passage],
        edits: Sequence[Mapping[str, Any]],
        decision: Decision | None,
        cached: bool,
        receipt: str,
    ) -> None:
        """Tell the end, with all that was reported."""
        self.clock("total_ms")
        data = {
            "run": self._run,
            "command": self._command,
            "answer": answer,
            "sources": [{"path": p.path, "heading": p.heading, "why": p.why, "via": p.via} for p in passages],
            "edits": edits,
            "findings": self.findings,
            "decision": decision.as_dict() if decision is not None else None,
            "usage": self.usage,
            "timings": self.timings,
            "degraded": self.degraded,
            "cached": cached,
            "receipt": receipt,
        }
        self._emit(Event("done", data))


def notice(code: str, message: str, hint: str) -> dict[str, Any]:
    """A finding that is no fault, as it stands in the `findings` of an answer."""
    return {"code": code, "weight": "notice", "path": "", "message": message, "hint": hint}
