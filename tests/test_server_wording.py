"""Messages for programs, in the words of the command line."""

from argparse import Namespace

import pytest

from server.body import CommandBody, ContextBody, ScopeBody
from server.wording import as_typed, worded


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("scope.project: no note is called 'x'", "--project: no note is called 'x'"),
        ("scope.tags must be a list of tag names", "--tag must be a list of tag names"),
        ("budget_tokens: input should be greater", "--budget: input should be greater"),
        ("hunks: string should have at most 32 characters", "--hunk: string should have at most 32 characters"),
        ("node: x", "--node: x"),
        ("node 'local' refuses connections", "node 'local' refuses connections"),
        ("Correct the field and send the request again.", "Correct it and run the command again."),
        ("`kos map` and GET /v1/maps list the maps of the vault.", "`kos map` lists the maps of the vault."),
        ("the body is larger than 1 MiB", "what was said is larger than 1 MiB"),
        ("Look at it once more; apply it with confirm if it is meant.",) * 2,
        (
            '`kos mode NORMAL` gives it back, or force it: `model` "big", or the force pattern in your own words.',
            "`kos mode NORMAL` gives it back, or force it with --model big.",
        ),
        ("telescope.project is a note", "telescope.project is a note"),
        ("", ""),
    ],
)
def test_fields_and_addresses_become_flags_and_commands(message: str, said: str) -> None:
    assert worded(message) == said.replace("with confirm", "with --confirm")


def test_every_field_of_a_scope_has_a_flag() -> None:
    for name in ScopeBody.model_fields:
        assert worded(f"scope.{name}: x").startswith("--")
    assert {"budget_tokens", "note", "gather"} <= {*CommandBody.model_fields, *ContextBody.model_fields}


def test_a_scope_is_told_as_it_was_typed() -> None:
    given = Namespace(
        project="A b", folder=None, since=None, tag=["x"], where=[("due", "lte", 5), ("done", "eq", False)]
    )
    empty, other = {"code": "nothing_in_scope", "message": "m", "hint": "h"}, {"code": "stand_in", "message": "m"}
    told, same = as_typed([empty, other], given)
    assert told["message"] == "no note fits --project 'A b' --tag x --where 'due<=5' --where done=false"
    assert same is other
