"""No truncation stays silent: 1,000 random contexts on nodes that count in their own ways and sometimes cut a prompt."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from context.vault import Vault
from inference.fleet import Fleet
from inference.profile import load, with_url
from prompts import SHIPPED
from tests.houses import done, events, house, profile
from tests.ollama_answers import rendered
from tests.ollama_double import double
from tests.ollama_machine import CATALOG, Machine
from tests.vaults import open_vault

PROSE = (
    "the quince hedge was pruned in March and the cider waits below the stairs until somebody writes down what it "
    "needs before the winter comes and nobody remembers which of the jars was opened first"
).split()
GERMAN = "Quittenmarmelade Gartenbewässerung Erinnerungsprotokoll wächst süß draußen über Nacht quince".split()
CODE = (
    "for (let i = 0; i < n; i++) {",
    "\treturn self._cache[key] or {}",
    "}",
    "x_y = f(a, b)[-1]",
    "# quince",
    "if not ok:",
)
CJK = "今日庭木剪定水遣記録果実酒瓶棚下春秋冬夏の はをにがでと、。"
EMOJI = "🌱🍐🪴🧺🐝🌧️👩‍🌾🇩🇪"


def prose(dice: random.Random) -> str:
    return " ".join(dice.choices(PROSE, k=dice.randrange(10, 60))).capitalize() + "."


def german(dice: random.Random) -> str:
    return " ".join(dice.choices(GERMAN, k=dice.randrange(5, 30))) + "."


def code(dice: random.Random) -> str:
    return "```\n" + "\n".join(dice.choices(CODE, k=dice.randrange(3, 20))) + "\n```\nquince"


def cjk(dice: random.Random) -> str:
    return "".join(dice.choices(CJK, k=dice.randrange(20, 200))) + " quince。"


def emoji(dice: random.Random) -> str:
    return " ".join("".join(dice.choices(EMOJI, k=3)) + " quince" for _ in range(dice.randrange(3, 20)))


def words(dice: random.Random) -> str:
    """Words without end: keys, addresses."""
    return "quince " + "".join(dice.choices("abcdef0123456789/_-", k=dice.randrange(100, 900)))


KINDS: tuple[Callable[[random.Random], str], ...] = (prose, german, code, cjk, emoji, words)
TOKENIZERS, CONTEXTS = 40, 25
# So many answers about a folder come whole before a cut that only they can tell; to other cuts a node is free at once.
WHOLE = 5
ASKED = ("the quince", "what does the quince need before winter", "quince 剪定", "is the quince 🍐 pruned?")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """Notes of every kind, each in the folder of its kind; some have all kinds in one."""
    dice = random.Random(1)
    files = {}
    for number in range(80):
        kind = dice.choice((*KINDS, None))
        parts = [(kind or dice.choice(KINDS))(dice) for _ in range(dice.randrange(2, 12))]
        body = "\n\n".join(f"## Part {at}\n{part}" for at, part in enumerate(parts))
        files[f"{kind.__name__ if kind else 'mixed'}/Note {number}.md"] = f"# Note {number}\n{body}\n"
    return open_vault(tmp_path_factory.mktemp("vault"), files)


@dataclass
class Told:
    """What became of contexts: prompts that were cut, those of them not told, whole ones that were told to be cut.

    Attributes:
        chance: of the latter, those that had just as many tokens as Ollama leaves of a prompt that it cuts.
    """

    contexts: int = 0
    refused: int = 0
    cut: int = 0
    silent: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    chance: int = 0


def test_of_1000_random_contexts_none_is_cut_without_a_word(vault: Vault) -> None:
    told = Told()
    for seed in range(TOKENIZERS):
        asyncio.run(ask(vault, random.Random(seed), told))
    assert told.contexts == TOKENIZERS * CONTEXTS == 1000
    assert told.cut > 100
    assert told.silent == []
    assert told.false == []
    assert told.chance <= 2
    assert told.refused < 30, "a calibrated model is seldom sent too much"


async def ask(vault: Vault, dice: random.Random, told: Told) -> None:
    """Contexts for a model with a tokenizer of its own, on a node that refuses what is too long, or cuts it."""
    per, others, deaf = dice.uniform(1.2, 5.5), dice.uniform(1.0, 8.0), dice.random() < 0.4
    num_ctx, budget = dice.randrange(2500, 9000), dice.choice((None, 2000, 6000))
    folders = dice.sample([*(kind.__name__ for kind in KINDS), "mixed"], 2)
    whole = dict.fromkeys(folders, 0)
    machine = Machine([replace(CATALOG["qwen3:8b"], native=dice.random() < 0.5)])
    async with double(machine=machine, deaf=deaf, answer=lambda _: "Well.") as node:
        of = house(vault)
        of.fleet = Fleet(with_url(profile(num_ctx=num_ctx, answer_tokens=700), node.url))
        for _ in range(CONTEXTS):
            folder, text = dice.choice(folders), dice.choice(ASKED)
            # No true tokenizer is regular.
            node.bytes_per_token = per * dice.uniform(0.95, 1.05)
            node.others_per_token = others * dice.uniform(0.95, 1.05)
            if whole[folder] >= WHOLE and dice.random() < 0.2:
                node.fault("half", times=1)
            found = await events(of, "ask", text=text, fresh=True, scope={"folder": folder}, budget_tokens=budget)
            node.faults.clear()
            final = done(found)
            read, sent = final["usage"]["prompt_eval_count"], node.count(rendered(node.chats()[-1].body["messages"]))
            is_said = "truncated" in [one["code"] for one in final["findings"]]
            assert is_said == ("context" in final["degraded"])
            case = (
                f"{read} of {sent}, {folder}, {per:.2f}, {others:.2f}, {of.fleet.tokens.of('desk', 'qwen3:8b').rates}"
            )
            told.contexts += 1
            told.cut += read < sent
            told.silent += [case] * (read < sent and not is_said)
            if is_said and read == sent:
                told.false += [case] * (read != num_ctx - (num_ctx - 4) // 2)
                told.chance += read == num_ctx - (num_ctx - 4) // 2
            whole[folder] += read == sent
        assert {seen.body["options"].get("num_ctx") for seen in node.chats()} == {num_ctx}
        told.refused += sum(seen.status != 200 for seen in node.chats())
        await of.fleet.close()


def test_a_mixed_trace_loads_no_model_anew_for_other_parameters(tmp_path: Path) -> None:
    project = "---\ntype: project\nstatus: active\n---\n# Quince\n## Next\n- [ ] prune\n"
    notes = {f"{kind.__name__}.md": kind(random.Random(1)) for kind in KINDS}
    vault = open_vault(tmp_path / "vault", notes | {"Quince.md": project})

    async def test() -> None:
        dice = random.Random(7)
        async with double(machine=Machine(kv_type="q8_0"), answer=lambda _: "Well.") as node:
            of = house(vault)
            of.fleet = Fleet(with_url(load("rtx3080"), node.url))
            on = of.fleet.profile
            for _ in range(1000):
                fields: dict[str, Any] = {"text": dice.choice(ASKED) + " quince" * dice.randrange(30), "fresh": True}
                fields |= dice.choice(({}, {}, {"tier": dice.choice(tuple(on.tiers))}, {"force": True}))
                fields["budget_tokens"] = dice.choice((None, 500, 2000))
                done(await events(of, dice.choice(SHIPPED), **fields))
            windows = {runner.model: runner.num_ctx for runner in on.runners.values()}
            chats = node.chats()
            assert {(seen.body["model"], "format" in seen.body) for seen in chats} >= {(one, False) for one in windows}
            assert any("format" in seen.body for seen in chats), "projects were chosen too"
            assert [seen for seen in chats if seen.body["options"].get("num_ctx") != windows[seen.body["model"]]] == []
            assert node.machine.loads > 100
            assert node.machine.reloads == 0
            await of.fleet.close()

    asyncio.run(test())
