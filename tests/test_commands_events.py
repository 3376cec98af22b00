"""Events: what each holds, and what is told of an error."""

import json

import pytest

from commands.events import FINAL, NAMES, failed, phase
from commands.request import CommandError
from inference.node import ContextTooLarge, DeadlineExceeded, NodeBusy, NodeUnavailable
from prompts import PromptError

RUN = "0123456789abcdef"


def test_the_names_are_those_of_the_stream() -> None:
    assert NAMES[0] == "started"
    assert set(NAMES[-2:]) == FINAL
    assert len(set(NAMES)) == len(NAMES)


def test_a_phase() -> None:
    assert phase("reading", "3 notes").data == {"name": "reading", "detail": "3 notes", "n": 0, "total": 0}
    assert phase("queued", "small", 2, 5).data == {"name": "queued", "detail": "small", "n": 2, "total": 5}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CommandError("invalid", "no", "do"), {"code": "invalid", "message": "no", "hint": "do"}),
        (NodeUnavailable("away", hint="start"), {"code": "node_unavailable", "message": "away", "hint": "start"}),
        (NodeBusy("full", retry_after=2.5), {"code": "busy", "message": "full", "hint": "", "retry_after": 2.5}),
        (DeadlineExceeded("late"), {"code": "deadline", "message": "late", "hint": ""}),
        (
            ContextTooLarge("long", prompt_tokens=9, num_ctx=8, hint="less"),
            {"code": "context_too_large", "message": "long", "hint": "less"},
        ),
        (PromptError("bad"), {"code": "internal", "message": "bad", "hint": PromptError.hint}),
    ],
)
def test_an_error_that_names_itself_is_told_as_it_is(error: Exception, told: dict[str, object]) -> None:
    event = failed(RUN, error)
    assert event.name == "failed"
    assert event.data == {"run": RUN, **told}
    json.dumps(dict(event.data))


def test_any_other_error_is_told_without_its_words() -> None:
    class OddError(Exception):
        code = 7

    for error in (ValueError("my secret note"), OddError("my secret note"), OSError(2, "no file", "/home/me/secret")):
        data = failed(RUN, error).data
        assert (data["run"], data["code"]) == (RUN, "internal")
        assert type(error).__name__ in data["message"]
        assert "secret" not in json.dumps(dict(data))
        assert data["hint"]
