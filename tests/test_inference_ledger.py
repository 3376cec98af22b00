"""The ledger: every decision is written down with its inputs, comes out again the same, and never stops a request."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from inference import ledger as module
from inference.decision import Decision, Known, NodeView, Wanted
from inference.fleet import Fleet
from inference.ledger import FILE, KEPT, Inputs, Ledger, latest, replay
from inference.node import InferenceError, NodeUnavailable, NothingFits
from inference.policy import decide, most_cost
from inference.profile import Profile, load
from tests.decisions import NODES, RUNNERS, inputs_of, profile_of
from tests.houses import Nodes

PROFILE = Profile(
    "test", "", NODES, RUNNERS, {"fast": ("small",), "deep": ("sky-large", "loft-large")}, {"orient": "fast"}, ()
)


def made(profile: Profile, inputs: Inputs, identity: str = "d-1") -> Decision | InferenceError:
    try:
        return decide(profile, inputs.wanted, default_tier=inputs.default_tier, id=identity, known=inputs.known)
    except InferenceError as error:
        return error


def inputs(command: str = "orient", **fields: Any) -> Inputs:
    return Inputs(Wanted(command, **fields), "deep", Known({"desk": NodeView(eta_seconds=0.1 + 0.2)}))


def fill(book: Ledger, count: int, profile: Profile = PROFILE) -> None:
    for n in range(count):
        book.write(inputs(), made(profile, inputs(), f"d-{n}"), f"d-{n}")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]


def test_a_decision_is_one_line_with_its_inputs_that_only_its_owner_reads(tmp_path: Path) -> None:
    book = Ledger(tmp_path, PROFILE, now=lambda: 1_757_840_400.25)
    book.write(inputs(), made(PROFILE, inputs()), "d-1")
    profile, entry = lines(tmp_path)
    assert profile["profile"] == entry["profile"]
    assert "url" not in json.dumps(profile)
    assert (entry["schema"], entry["id"], entry["at"]) == (1, "d-1", "2025-09-14T09:00:00.250+00:00")
    assert entry["inputs"] == {
        "wanted": {"command": "orient"},
        "default_tier": "deep",
        "nodes": {"desk": {"eta_seconds": 0.30000000000000004}},
    }
    assert (entry["decision"]["runner"], entry["decision"]["eta_seconds"]) == ("small", 0.30000000000000004)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert book.status() == {"error": "", "lost": 0}


def test_a_refusal_is_written_down_as_well(tmp_path: Path) -> None:
    book = Ledger(tmp_path, PROFILE)
    wish = inputs("own", node="sky", private=True)
    book.write(wish, made(PROFILE, wish), "d-1")
    refused = lines(tmp_path)[1]["refused"]
    assert refused["code"] == "invalid"
    assert "private notes do not go to cloud node sky" in refused["message"]
    assert replay(tmp_path).as_dict() == {"decisions": 1, "identical": 1, "different": [], "damaged": 0}


def test_ten_thousand_decisions_come_out_again_the_same(tmp_path: Path) -> None:
    random, kinds = Random(7), set()
    for n in range(10_000):
        if n % 100 == 0:
            profile = profile_of(random)
            book = Ledger(tmp_path, profile, file_bytes=64 << 20)
        drawn = inputs_of(random)
        outcome = made(profile, drawn, f"d-{n}")
        kinds.add(outcome.rule if isinstance(outcome, Decision) else type(outcome).__name__)
        book.write(drawn, outcome, f"d-{n}")
        if n % 100 == 99:
            book.close()
    assert replay(tmp_path).as_dict() == {"decisions": 10_000, "identical": 10_000, "different": [], "damaged": 0}
    assert len(kinds) > 30, kinds


def test_a_line_that_was_changed_is_different(tmp_path: Path) -> None:
    fill(Ledger(tmp_path, PROFILE), 3)
    file = tmp_path / FILE
    data = file.read_text().splitlines()
    data[2] = data[2].replace('"model":"llama3.2:3b"', '"model":"llama3.2:1b"')
    file.write_text("\n".join(data) + "\n")
    found = replay(tmp_path)
    assert (found.decisions, found.identical, found.different) == (3, 2, ("d-1",))


def test_another_policy_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Ledger(tmp_path, PROFILE), 2)

    def other(*arguments: Any, **fields: Any) -> Decision:
        return replace(decide(*arguments, **fields), why="Because.")

    monkeypatch.setattr(module, "decide", other)
    assert replay(tmp_path).different == ("d-0", "d-1")


def test_half_a_last_line_is_left_out_and_said_and_swallows_nothing(tmp_path: Path) -> None:
    fill(Ledger(tmp_path, PROFILE), 2)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-40])
    found = replay(tmp_path)
    assert (found.decisions, found.identical, found.damaged) == (1, 1, 1)
    assert [entry["id"] for entry in latest(tmp_path, 9)] == ["d-0"]
    other = replace(PROFILE, commands={})
    fill(Ledger(tmp_path, other), 1, other)
    assert replay(tmp_path).as_dict() == {"decisions": 2, "identical": 2, "different": [], "damaged": 1}


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"schema": 2, "at": "", "id": "", "profile": "", "inputs": {}, "decision": {}}',
        b"[" * 100_000,
        b'{"profile": 1, "of": {}}',
    ],
)
def test_no_line_stops_the_reading(tmp_path: Path, line: bytes) -> None:
    fill(Ledger(tmp_path, PROFILE), 1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(line + b"\n")
    assert (replay(tmp_path).damaged, replay(tmp_path).identical) == (1, 1)
    assert len(latest(tmp_path, 9)) == 1


def test_inputs_that_are_not_known_here_count_as_different(tmp_path: Path) -> None:
    fill(Ledger(tmp_path, PROFILE), 1)
    file = tmp_path / FILE
    file.write_text(file.read_text().replace('"command":"orient"}', '"command":"orient","mood":1}'))
    assert replay(tmp_path).different == ("d-0",)
    file.write_text(file.read_text().replace('"fail_soft"', '"fails"'))
    assert replay(tmp_path).different == ("d-0",)


def test_full_files_are_put_away_and_the_oldest_goes(tmp_path: Path) -> None:
    book = Ledger(tmp_path, PROFILE, file_bytes=20_000)
    fill(book, 200)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == sorted([FILE, *(f"decisions.{n}.jsonl" for n in range(1, KEPT + 1))])
    assert all(file.stat().st_size < 23_000 for file in tmp_path.iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())
    found = replay(tmp_path)
    assert found.decisions == found.identical > 50, "each file has its profile"
    kept = [entry["id"] for entry in latest(tmp_path, 1000)]
    assert kept == [f"d-{n}" for n in range(199, 199 - len(kept), -1)]
    assert len(latest(tmp_path, 30)) == 30


def test_a_file_that_another_has_put_away_is_put_away_once(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path, PROFILE, file_bytes=8000), Ledger(tmp_path, PROFILE, file_bytes=8000)
    fill(other, 1)
    while not (tmp_path / "decisions.1.jsonl").exists():
        fill(one, 1)
    fill(other, 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["decisions.1.jsonl", FILE]
    one.close()
    other.close()
    assert replay(tmp_path).damaged == 0


_WRITER = """
import sys
from pathlib import Path
from tests.test_inference_ledger import PROFILE, fill
from inference.ledger import Ledger
fill(Ledger(Path(sys.argv[1]), PROFILE, file_bytes=200_000), 300)
"""


def test_several_processes_write_whole_lines_and_lose_none_as_files_fill(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], cwd=root, env=os.environ | {"PYTHONPATH": "."})
        for _ in range(2)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert replay(tmp_path).as_dict() == {"decisions": 600, "identical": 600, "different": [], "damaged": 0}
    assert (tmp_path / "decisions.1.jsonl").exists()


def test_a_folder_that_cannot_be_written_loses_lines_and_no_request(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "gone", PROFILE)
    fleet = Fleet(PROFILE, Nodes().make, ledger=book)
    assert fleet.decide(Wanted("orient"), "fast").runner == "small"
    with pytest.raises(NothingFits):
        fleet.decide(Wanted("orient", node="moon"), "fast")
    assert book.status() == {"error": "No such file or directory", "lost": 2}
    (tmp_path / "gone").mkdir()
    fleet.decide(Wanted("orient"), "fast")
    assert book.status() == {"error": "", "lost": 2}
    assert replay(tmp_path / "gone").identical == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_loses_lines_and_no_request(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to("/dev/full")
    book = Ledger(tmp_path, PROFILE)
    fill(book, 2)
    assert book.lost == 2
    assert book.error


def test_long_names_are_cut_where_they_can_be_none_of_ours(tmp_path: Path) -> None:
    fleet = Fleet(PROFILE, Nodes().make, ledger=Ledger(tmp_path, PROFILE))
    with pytest.raises(NothingFits):
        fleet.decide(Wanted("orient", model="secret words " * 80), "fast")
    assert (tmp_path / FILE).read_text().count("secret") < 22
    assert replay(tmp_path).identical == 1


def test_a_shipped_profile_is_written_and_read_again(tmp_path: Path) -> None:
    for name in ("rtx3080", "cluster"):
        fleet = Fleet(load(name), Nodes().make, ledger=Ledger(tmp_path, load(name)))
        for command in ("orient", "plan", "research", "own"):
            fleet.decide(Wanted(command, private=True), "fast")
    assert replay(tmp_path).identical == 8


def test_the_fleet_tells_the_policy_what_it_knows(tmp_path: Path) -> None:
    async def test() -> None:
        now = [100.0]
        nodes = NODES | {"desk": replace(NODES["desk"], mode_url="http://127.0.0.1:18000", queue=0)}
        profile = replace(PROFILE, nodes=nodes)
        fleet = Fleet(profile, Nodes().make, clock=lambda: now[0], ledger=Ledger(tmp_path, profile))
        with pytest.raises(NodeUnavailable, match="the mode of node desk is not known"):
            fleet.decide(Wanted("orient"), "fast")
        fleet.modes.heard("desk", "NORMAL")
        now[0] += 5
        assert fleet.decide(Wanted("orient"), "fast").runner == "small"
        now[0] += 5
        with pytest.raises(NodeUnavailable, match="told it last 10 s ago"):
            fleet.decide(Wanted("orient"), "fast")
        fleet.modes.heard("desk", "GAMING")
        with pytest.raises(NodeUnavailable, match="in mode GAMING"):
            fleet.decide(Wanted("orient"), "fast")
        async with fleet._owners["desk"].turn("small", 30.0):
            fleet._owners["desk"].loaded("small")
            assert fleet._known().nodes["desk"].full
            assert fleet._known().runners["small"].eta_seconds == pytest.approx(30)
        assert replay(tmp_path).identical == 4
        await fleet.close()

    asyncio.run(test())


def test_what_a_day_cost_is_counted_and_outlives_a_start(tmp_path: Path) -> None:
    async def test() -> None:
        nodes = NODES | {"sky": replace(NODES["sky"], daily_cap=0.4)}
        profile = replace(PROFILE, nodes=nodes)
        most = most_cost(nodes["sky"], RUNNERS["sky-large"])
        day = ["2025-09-14"]

        def begun() -> Fleet:
            book = Ledger(tmp_path, profile, now=lambda: 1_757_840_400 + 86_400 * (day[0] == "2025-09-15"))
            return Fleet(profile, Nodes().make, ledger=book, day=lambda: day[0])

        async def spent(fleet: Fleet) -> float:
            decision = fleet.decide(Wanted("own"), "deep")
            assert decision.node == "sky"
            async for _ in fleet.chat(decision, (), on_phase=lambda *_: None):
                pass
            return fleet._known().nodes["sky"].spent

        fleet = begun()
        # The scripted node tells 5000 tokens read and 3 written.
        assert await spent(fleet) == pytest.approx((5000 * 2 + 3 * 10) / 1e6)
        once = fleet.decide(Wanted("own"), "deep")
        await fleet.close()
        fleet = begun()
        known = fleet._known().nodes["sky"].spent
        assert known == pytest.approx(0.01003 + most), "the last one may have been sent"
        assert await spent(fleet) == pytest.approx(known + 0.01003)
        fleet._spending.today()["sky"] = 0.39
        assert dict(fleet.decide(Wanted("own"), "deep").rejected)["sky-large"].startswith("node sky has cost 0.39")
        with pytest.raises(NodeUnavailable, match="has cost its cap"):
            async for _ in fleet.chat(once, (), on_phase=lambda *_: None):
                pass
        day[0] = "2025-09-15"
        assert fleet.decide(Wanted("own"), "deep").node == "sky"
        await fleet.close()

    asyncio.run(test())
