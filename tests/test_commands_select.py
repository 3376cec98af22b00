"""The context of a request: kept under what it was made from, never stale, replayed to the byte."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.latest import Latest
from commands.select import (
    Selected,
    Selection,
    _request_digest,
    _text_key,
    build,
    gathering,
    kept_receipt,
    replay,
)
from context.assemble import BYTES4, Context, Counter
from context.cache import CacheStats, open_cache
from context.calendar import calendar
from context.index import Index
from context.kinds import configured
from context.note import decode
from context.query import scope
from context.vault import Vault, VaultOptions
from tests.vaults import open_vault, write

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
FILES = {
    ".obsidian/daily-notes.json": '{"folder": "Daily"}',
    "Daily/2025-09-14.md": "# Sunday\nPruned the quince. See [[Hedge]].\n",
    "Daily/2025-09-15.md": "# Monday\nMulch.\n",
    "Hedge.md": "# Hedge\nQuince and hawthorn.\n## Later\nNothing yet.\n",
    "Garden MOC.md": "# Garden\n- [[Hedge]]\n- [[Shed]]\n",
    "Shed.md": "# Shed\nA ladder.\n",
    "Far.md": "# Far\nA place in the mountains.\n",
    "Lore/Far.md": "---\ntype: project\nstatus: active\n---\n# Far\nA quince in a tale.\n",
}
WANTED = Selection(
    "the quince", {"recent": 0.5, "search": 0.3, "maps": 0.2}, 2000, BYTES4, scope(None), calendar("2025-09-14", "UTC")
)


class Shelf:
    """A cache that keeps JSON where a test can get at it, and what it was told of privacy."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.private: dict[str, bool] = {}

    def get(self, key: str) -> Any | None:
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key: str, value: Any, *, private: bool = False) -> None:
        self.kept[key] = json.dumps(value)
        self.private[key] = private

    def stats(self) -> CacheStats:
        return CacheStats("shelf", 0, 0, 0, 0, "")

    def close(self) -> None:
        self.kept.clear()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path, FILES)


def texts(selected: Selected) -> list[tuple[str, int, str]]:
    return [(one.path, one.start, one.text) for one in selected.context.passages]


def verbatim(root: Path, context: Context) -> None:
    for one in context.passages:
        assert one.text == decode((root / one.path).read_bytes())[0][one.start : one.end]


# --- what is kept, and for how long


def test_the_second_time_it_comes_out_of_the_cache(tmp_path: Path, vault: Vault) -> None:
    cache = open_cache("memory", vault_id="test", path=None)
    first, again = build(vault, cache, WANTED), build(vault, cache, WANTED)
    assert (first.cached, again.cached) == (False, True)
    assert first.context == again.context
    assert first.receipt == again.receipt == kept_receipt(cache, str(first.receipt["receipt"]))
    verbatim(tmp_path, again.context)
    fresh = build(vault, cache, replace(WANTED, fresh=True))
    assert (fresh.cached, fresh.context) == (False, first.context)
    assert kept_receipt(cache, "0" * 64) is None


@pytest.mark.parametrize(
    ("asks", "changed"),
    [
        ("due == date('2025-09-14')", {".obsidian/types.json": '{"types": {"due": "date"}}'}),
        ("file('plan.png').size > 9 && due", {"plan.png": "a larger picture"}),
    ],
)
def test_what_a_base_asks_for_beside_notes_is_part_of_the_key(
    tmp_path: Path, asks: str, changed: dict[str, str]
) -> None:
    files = {
        "Top MOC.md": f"# Top\n```base\nfilters: {asks}\n```\n",
        "A.md": "---\ndue: 2025-09-14T12:00\n---\nWords.\n",
    }
    vault = open_vault(tmp_path, files | {"plan.png": "small"})
    cache = open_cache("memory", vault_id="test", path=None)
    wanted = replace(WANTED, text="", gather={"maps": 1.0}, open_note="Top MOC.md")
    assert [one.path for one in build(vault, cache, wanted).context.passages] == ["Top MOC.md"]
    write(tmp_path, changed)
    vault.refresh()
    assert {one.path for one in build(vault, cache, wanted).context.passages} == {"Top MOC.md", "A.md"}


def test_an_edit_elsewhere_leaves_the_passages_and_their_receipt(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    first = build(vault, cache, WANTED)
    write(tmp_path, {"Far.md": "# Far\nA valley.\n", "Lore/Other.md": "new"})
    vault.refresh()
    second = build(vault, cache, WANTED)
    assert second.cached, "the text is the one from before"
    assert second.receipt == first.receipt
    assert texts(second) == texts(first)
    assert sorted(key.split(":")[0] for key in cache.kept) == ["context", "context", "receipt", "text"]
    write(tmp_path, {"Hedge.md": "# Hedge\nHawthorn alone.\n"})
    vault.refresh()
    assert not build(vault, cache, WANTED).cached


def test_the_same_text_for_another_request_is_not_said_to_be_cached(vault: Vault) -> None:
    cache = Shelf()
    first = build(vault, cache, replace(WANTED, text="quince", gather={"recent": 1.0}))
    other = build(vault, cache, replace(WANTED, text="a quince", gather={"recent": 1.0}))
    assert (other.receipt, other.cached) == (first.receipt, False)


def test_a_file_that_was_only_touched_leads_to_the_same_text(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    first = build(vault, cache, WANTED)
    (tmp_path / "Hedge.md").touch()
    vault.refresh()
    second = build(vault, cache, WANTED)
    assert (second.cached, second.receipt) == (True, first.receipt)
    assert len([key for key in cache.kept if key.startswith("context")]) == 2, "a query may ask for the time stamp"


def test_an_edit_in_a_chosen_note_is_seen_at_once(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    first = build(vault, cache, WANTED)
    write(tmp_path, {"Hedge.md": "# Hedge\nQuince, hawthorn and rose.\n"})
    for refresh in (False, True):  # also before the vault itself has looked: what is quoted is read again
        if refresh:
            vault.refresh()
        second = build(vault, cache, WANTED)
        assert second.receipt["receipt"] != first.receipt["receipt"]
        assert "# Hedge\nQuince, hawthorn and rose." in [text for _, _, text in texts(second)]
        verbatim(tmp_path, second.context)


def test_an_edit_taken_back_before_the_vault_looked_leaves_nothing_behind(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    write(tmp_path, {"Hedge.md": "# Hedge\nQuince, hawthorn and rose.\n"})
    between = build(vault, cache, WANTED)
    assert any("rose" in text for _, _, text in texts(between))
    write(tmp_path, {"Hedge.md": FILES["Hedge.md"]})
    vault.refresh()
    after = build(vault, cache, WANTED)
    assert not any("rose" in text for _, _, text in texts(after))
    verbatim(tmp_path, after.context)


def test_what_was_left_out_of_a_passing_state_is_not_missed_later(tmp_path: Path) -> None:
    task = {"Work.md": "- [ ] prune 📅 2025-09-14\n"}
    vault, cache = open_vault(tmp_path, FILES | task), Shelf()
    due = replace(WANTED, gather={"tasks": 0.5, "maps": 0.5})
    write(tmp_path, {"Work.md": "It is long done, and the place of the task holds something else."})
    assert "Work.md" not in [one[0] for one in texts(build(vault, cache, due))]
    write(tmp_path, task)
    vault.refresh()
    assert "Work.md" in [one[0] for one in texts(build(vault, cache, due))]


def test_a_shared_receipt_does_not_mix_up_the_scores(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    first = build(vault, cache, WANTED)
    write(tmp_path, {f"Lore/{n}.md": "a long tale without the fruit" * n for n in range(9)})
    vault.refresh()
    second = build(vault, cache, WANTED)
    assert second.receipt == first.receipt
    assert second.context != first.context, "bm25 looks at the whole vault"
    for n in range(9):
        (tmp_path / f"Lore/{n}.md").unlink()
    vault.refresh()
    third = build(vault, cache, WANTED)
    assert (third.cached, third.context) == (True, first.context)


CHANGES: dict[str, Callable[[Selection], Selection]] = {
    "text": lambda one: replace(one, text="a quince"),
    "day": lambda one: replace(one, calendar=calendar("2025-09-15", "UTC")),
    "ways": lambda one: replace(one, gather={"recent": 0.5, "search": 0.5}),
    "priority": lambda one: replace(one, gather={"search": 0.3, "recent": 0.5, "maps": 0.2}),
    "shares": lambda one: replace(one, gather={"recent": 0.4, "search": 0.4, "maps": 0.2}),
    "budget": lambda one: replace(one, budget=2001),
    "counter": lambda one: replace(one, counter=Counter("bytes/3", lambda text: len(text.encode()) // 3)),
    "scope": lambda one: replace(one, scope=scope({"folder": "Daily"})),
    "recent days": lambda one: replace(one, recent_days=2),
    "open note": lambda one: replace(one, open_note="Far.md"),
    "privacy": lambda one: replace(one, private=False),
    "zone": lambda one: replace(one, calendar=calendar("2025-09-14", "Asia/Tokyo")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_it_depends_on_is_in_the_key(vault: Vault, change: Callable[[Selection], Selection]) -> None:
    other = change(WANTED)
    for first, second in ((WANTED, other), (other, WANTED)):
        cache = Shelf()
        build(vault, cache, first)
        assert not build(vault, cache, second).cached
        assert build(vault, cache, second).cached
        assert build(vault, cache, first).cached


def test_another_hour_of_the_same_day_is_the_same(vault: Vault) -> None:
    cache = Shelf()
    build(vault, cache, WANTED)
    assert build(vault, cache, replace(WANTED, calendar=calendar("2025-09-14T23:59:00", "UTC"))).cached


def test_another_version_of_the_program_looks_again(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Shelf()
    build(vault, cache, WANTED)
    monkeypatch.setattr("commands.select._program", lambda: "another")
    assert not build(vault, cache, WANTED).cached


CLOCK = {
    "Garden MOC.md": "# Garden\n```dataview\nLIST WHERE due AND due < date(now)\n```\n",
    "Shed.md": "---\ndue: 2025-09-14T12:00\n---\n# Shed\nA ladder.\n",
}


def test_a_query_that_asks_for_the_hour_is_asked_again(tmp_path: Path) -> None:
    vault, cache, latest = open_vault(tmp_path, FILES | CLOCK), Shelf(), Latest()
    walked = replace(WANTED, text="", gather={"maps": 1.0})
    for hour, due in ((10, False), (14, True), (10, False), (14, True)):
        asked = replace(walked, calendar=calendar(f"2025-09-14T{hour}:00", "UTC"))
        found = build(vault, cache, asked, None, latest)
        assert ("Shed.md" in [one[0] for one in texts(found)]) == due, hour


def test_a_query_that_asks_when_a_note_was_written_is_asked_again(tmp_path: Path) -> None:
    query = "# Garden\n```dataview\nLIST WHERE file.mtime > date(2025-01-01)\n```\n"
    vault, cache = open_vault(tmp_path, FILES | {"Garden MOC.md": query}), Shelf()
    walked = replace(WANTED, text="", gather={"maps": 1.0})
    assert "Shed.md" in [one[0] for one in texts(build(vault, cache, walked))]
    os.utime(tmp_path / "Shed.md", (0, 0))
    vault.refresh()
    assert "Shed.md" not in [one[0] for one in texts(build(vault, cache, walked))]


class Passing:
    """A vault at the moment in which its index is newer than its snapshot."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault, name)

    def search(self, *asked: Any) -> Any:
        with self._vault._lock:
            found = self._vault.search(*asked)
            assert not self._vault.rests_at(self._vault.snapshot)
        self._vault.snapshot = replace(self._vault.snapshot)
        return found


def test_what_was_found_in_a_newer_index_is_not_kept(vault: Vault) -> None:
    cache = Shelf()
    build(Passing(vault), cache, WANTED)  # type: ignore[arg-type]
    assert not [key for key in cache.kept if key.startswith("context")]


# --- contexts at hand


class Deaf(Shelf):
    """A cache that hears nothing and has nothing."""

    def get(self, key: str) -> Any | None:
        return None


def test_one_at_hand_waits_for_no_store(tmp_path: Path, vault: Vault) -> None:
    latest, cache = Latest(), Deaf()
    first = build(vault, cache, WANTED, None, latest)
    again = build(vault, cache, WANTED, None, latest)
    assert (first.cached, again.cached, again.context, again.receipt) == (False, True, first.context, first.receipt)
    assert not build(vault, cache, replace(WANTED, fresh=True), None, latest).cached
    assert not build(vault, cache, replace(WANTED, budget=300), None, latest).cached
    write(tmp_path, {"Hedge.md": "# Hedge\nQuince, hawthorn and rose.\n"})
    after = build(vault, cache, WANTED, None, latest)
    assert not after.cached, "its file changed, though the vault has not looked"
    verbatim(tmp_path, after.context)


def test_what_came_out_of_the_cache_is_at_hand_afterwards(vault: Vault) -> None:
    cache, latest = Shelf(), Latest()
    build(vault, cache, WANTED)
    assert build(vault, cache, WANTED, None, latest).cached
    assert build(vault, Deaf(), WANTED, None, latest).cached


def test_only_the_latest_are_at_hand_and_none_for_longer_than_the_cache_keeps_them(vault: Vault) -> None:
    now = 0.0
    latest = Latest(60, clock=lambda: now)
    given = (build(vault, Shelf(), WANTED).context, {"receipt": "x"})
    for n in range(40):
        latest.put(f"context:{n}", given)
    assert [latest.get(f"context:{n}") is given for n in (0, 7, 8, 39)] == [False, False, True, True]
    now = 60.0
    assert latest.get("context:39") is None


def test_a_run_in_between_is_another_key_only_for_what_changed(tmp_path: Path) -> None:
    now = 1000.0
    vault = Vault(write(tmp_path, FILES), Index(None), clock=lambda: now)
    cache = Shelf()
    changed = replace(WANTED, gather={"changed": 1.0}, since=500.0)
    build(vault, cache, changed)
    assert build(vault, cache, replace(changed, since=600.0)).cached, "nothing changed since either"
    now = 2000.0
    write(tmp_path, {"Far.md": "# Far\nA valley.\n"})
    vault.refresh()
    assert texts(build(vault, cache, changed)) == [("Far.md", 0, "# Far\nA valley.")]
    assert texts(build(vault, cache, replace(changed, since=2000.0))) == []


def test_the_vaults_own_settings_are_in_the_key(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    assert any(one.lane == "recent" for one in build(vault, cache, WANTED).context.passages)
    write(tmp_path, {".obsidian/daily-notes.json": '{"folder": "Elsewhere"}'})
    vault.refresh()
    after = build(vault, cache, WANTED)
    assert not after.cached
    assert not any(one.lane == "recent" for one in after.context.passages)


def test_how_the_vault_is_read_is_in_the_key(tmp_path: Path) -> None:
    cache = Shelf()
    outside = replace(WANTED, private=False)
    hidden = VaultOptions(private_folders=("Daily",))
    assert "Daily/2025-09-14.md" not in [
        one[0] for one in texts(build(open_vault(tmp_path, FILES, hidden), cache, outside))
    ]
    assert "Daily/2025-09-14.md" in [one[0] for one in texts(build(open_vault(tmp_path), cache, outside))]
    assert "Daily/2025-09-14.md" not in [
        one[0] for one in texts(build(open_vault(tmp_path, {}, hidden), cache, outside))
    ]
    build(open_vault(tmp_path), cache, WANTED)
    hubs = VaultOptions(kinds=configured({"moc": {"types": ["project"]}}))
    assert not build(open_vault(tmp_path, {}, hubs), cache, WANTED).cached


def _step(dice: random.Random, root: Path) -> None:
    """Something that happens to a vault."""
    notes = sorted(root.rglob("*.md"))
    words = ["quince", "hawthorn", "[[Hedge]]", "[[Far]]", "mulch", "# Head", "- [ ] prune 📅 2025-09-15", "\n"]
    text = "\n".join(dice.choices(words, k=dice.randrange(1, 9)))
    what = dice.randrange(6)
    if what == 0:
        write(root, {f"{dice.choice(['', 'Daily/', 'Lore/'])}{dice.choice('abcd')}.md": text})
    elif what == 1 and len(notes) > 3:
        dice.choice(notes).unlink()
    elif what == 2:
        old = dice.choice(notes)
        old.rename(old.with_name(f"{dice.choice('efgh')}.md"))
    elif what == 3:
        dice.choice(notes).touch()
    elif what == 4:
        for path, before in FILES.items():  # as when a version control system puts everything back
            write(root, {path: before})
    else:
        dice.choice(notes).write_text(text, "utf-8")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_it_is_never_stale(tmp_path: Path, seed: int) -> None:
    dice, cache = random.Random(seed), Shelf()
    vault = open_vault(tmp_path, FILES)
    wanted = [WANTED, replace(WANTED, budget=200), replace(WANTED, text="", gather={"maps": 0.5, "tasks": 0.5})]
    hits = 0
    for _ in range(60):
        _step(dice, tmp_path)
        if dice.random() < 0.3:
            build(vault, cache, dice.choice(wanted))  # before the vault has looked
        vault.refresh()
        for one in wanted:
            kept = build(vault, cache, one)
            fresh = build(vault, Shelf(), one)
            assert kept.receipt == fresh.receipt
            assert kept.context == fresh.context
            verbatim(tmp_path, kept.context)
            hits += kept.cached
    assert hits, "the cache was used at all"


def test_budgets_hold_whatever_counts(tmp_path: Path, vault: Vault) -> None:
    for budget in (0, 1, 30, 200, 5000):
        for counter in (BYTES4, Counter("chars", len), Counter("marks", lambda text: len(text) // 3 + 12)):
            context = build(vault, Shelf(), replace(WANTED, budget=budget, counter=counter)).context
            assert context.tokens == sum(one.cost(counter) for one in context.passages) <= budget
            assert (context.counter, context.budget) == (counter.id, budget)
            verbatim(tmp_path, context)


# --- a cache that lies


def _keys(cache: Shelf) -> list[str]:
    """The keys of the context, its text, and its receipt."""
    return [next(key for key in cache.kept if key.startswith(kind)) for kind in ("context", "text", "receipt")]


def _tell(cache: Shelf, vault: Vault, context: Context) -> None:
    """Put a context into the place of the one that is kept."""
    receipt = context.receipt()
    identity, texts = receipt["receipt"], [one.text for one in context.passages]
    text = _text_key(_request_digest(vault.snapshot, WANTED), identity)
    cache.set(text, {"receipt": receipt, "texts": texts})
    cache.set(_keys(cache)[0], {"receipt": identity, "fits": [[one.score, one.rank] for one in context.passages]})


def _leaves(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(_leaves(one) for one in (value.values() if isinstance(value, dict) else value))
    return 1


def _changed(value: Any, at: list[int], other: Any) -> Any:
    """The value with another in the place of one of its leaves."""
    if isinstance(value, dict):
        return {name: _changed(one, at, other) for name, one in value.items()}
    if isinstance(value, list):
        return [_changed(one, at, other) for one in value]
    at[0] -= 1
    return other if at[0] == -1 else value


def _scored(context: Context, score: float) -> Context:
    """A score only says how things are shown; nobody can tell a wrong one from a right one."""
    return replace(context, passages=tuple(replace(one, score=score, rank=0) for one in context.passages))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(tmp_path_factory.mktemp("shared"), FILES)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), other=JUNK)
def test_anything_put_in_the_place_of_what_was_kept_is_a_miss(shared: Vault, data: st.DataObject, other: Any) -> None:
    cache = Shelf()
    true = build(shared, cache, WANTED)
    key = data.draw(st.sampled_from(_keys(cache)))
    value = json.loads(cache.kept[key])
    place = data.draw(st.integers(-1, _leaves(value) - 1))
    poison = other if place < 0 else _changed(value, [place], other)
    cache.kept[key] = json.dumps(poison)
    found = build(shared, cache, WANTED)
    assert _scored(found.context, 0) == _scored(true.context, 0)
    assert all(abs(one.score) < 1e9 for one in found.context.passages)
    assert found.receipt == true.receipt
    assert kept_receipt(cache, str(true.receipt["receipt"])) in (true.receipt, None)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Dig up the quince."},
        {"path": "Far.md"},
        {"path": "Ghost.md"},
        {"path": "../secret.md"},
        {"start": 3},
        {"digest": "0" * 64},
        {"private": True},
        {"start": 1.5},
        {"heading": 5},
        {"why": None},
    ],
    ids=str,
)
def test_a_lie_that_agrees_with_itself_is_found_out_by_the_notes(vault: Vault, change: dict[str, Any]) -> None:
    cache = Shelf()
    true = build(vault, cache, WANTED)
    first, *rest = true.context.passages
    _tell(cache, vault, replace(true.context, passages=(replace(first, **change), *rest)))
    assert build(vault, cache, WANTED).context == true.context


def test_a_word_of_truth_is_believed(vault: Vault) -> None:
    cache = Shelf()
    true = build(vault, cache, WANTED)
    fewer = replace(true.context, passages=true.context.passages[1:])
    _tell(cache, vault, fewer)
    found = build(vault, cache, WANTED)
    assert (found.cached, found.context) == (True, fewer), "the lies above are found out for what they say"


def test_a_receipt_under_another_name_is_none(vault: Vault) -> None:
    cache = Shelf()
    first, second = build(vault, cache, WANTED), build(vault, cache, replace(WANTED, budget=100))
    one, other = (f"receipt:{made.receipt['receipt']}" for made in (first, second))
    cache.kept[one] = cache.kept[other]
    assert kept_receipt(cache, str(first.receipt["receipt"])) is None
    assert build(vault, cache, WANTED).receipt == first.receipt


# --- receipts


def test_a_receipt_says_everything_but_the_words(vault: Vault) -> None:
    receipt = build(vault, Shelf(), replace(WANTED, budget=40)).receipt
    said = json.dumps(receipt)
    assert "Pruned" not in said
    assert "hawthorn" not in said
    assert receipt["passages"]
    assert receipt["cut"]
    for one in receipt["passages"]:
        assert one["note"] == vault.snapshot.notes[one["path"]].digest
        assert one["why"]
    assert (receipt["counter"], receipt["budget_tokens"]) == ("bytes/4", 40)


def test_a_replay_is_identical_or_names_the_notes_that_changed(tmp_path: Path, vault: Vault) -> None:
    receipt = build(vault, Shelf(), replace(WANTED, gather={"recent": 0.5, "search": 0.5})).receipt
    assert {one["path"] for one in receipt["passages"]} >= {"Daily/2025-09-14.md", "Hedge.md"}
    same = {"identical": True, "text": receipt["text"], "changed": [], "gone": []}
    assert replay(vault, receipt) == same
    write(tmp_path, {"Far.md": "elsewhere"})
    vault.refresh()
    assert replay(vault, receipt) == same, "an edit elsewhere is none"
    text = FILES["Daily/2025-09-14.md"]
    write(tmp_path, {"Daily/2025-09-14.md": f"{text}\n# Evening\nRain.\n"})
    assert replay(vault, receipt) == same, "nor is one below what was sent"
    write(tmp_path, {"Daily/2025-09-14.md": text.replace("Pruned", "Planted")})
    for _ in range(2):
        changed = replay(vault, receipt)
        assert (changed["identical"], changed["changed"], changed["gone"]) == (False, ["Daily/2025-09-14.md"], [])
        assert changed["text"] != receipt["text"]
        vault.refresh()
    (tmp_path / "Hedge.md").unlink()
    gone = replay(vault, receipt)
    assert (gone["identical"], gone["changed"], gone["gone"]) == (False, ["Daily/2025-09-14.md"], ["Hedge.md"])
    vault.refresh()
    assert replay(vault, receipt) == gone
    write(tmp_path, {path: FILES[path] for path in ("Hedge.md", "Daily/2025-09-14.md")})
    vault.refresh()
    assert replay(vault, receipt) == same, "and everything put back is identical again"


def test_the_whole_sample_vault_is_quoted_to_the_letter() -> None:
    vault = Vault(SAMPLE, Index(None))
    wanted = replace(WANTED, text="koji, disk, ぬか床", budget=20_000, gather={"search": 0.5, "maps": 0.5})
    cache = open_cache("memory", vault_id="test", path=None)
    for cached in (False, True):
        selected = build(vault, cache, wanted)
        assert selected.cached is cached
        assert len(selected.context.passages) > 30
        verbatim(SAMPLE, selected.context)


# --- privacy


def test_a_receipt_that_names_a_private_note_among_what_was_cut_is_private(tmp_path: Path) -> None:
    hidden = {"Hedge.md": "---\nprivate: true\n---\n# Hedge\n" + "quince " * 50}
    vault, cache = open_vault(tmp_path, FILES | hidden), Shelf()
    selected = build(vault, cache, replace(WANTED, budget=60))
    assert not selected.context.private
    assert "Hedge.md" in [one.path for one in selected.context.cut]
    assert set(cache.private.values()) == {True}
    assert len(cache.private) == 3


def test_what_a_note_said_that_became_private_a_moment_ago_is_private(tmp_path: Path, vault: Vault) -> None:
    cache = Shelf()
    write(tmp_path, {"Hedge.md": "---\nprivate: true\n---\n# Hedge\nQuince, and a secret.\n"})
    assert "secret" in str(texts(build(vault, cache, WANTED)))
    assert "secret" in str(cache.kept)
    assert set(cache.private.values()) == {True}


def test_private_notes_are_as_if_they_did_not_exist(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, FILES | {"Hedge.md": "---\nprivate: true\n---\n# Hedge\nquince [[Shed]]"})
    ready = gathering(vault, replace(WANTED, private=False))
    assert "Hedge.md" not in ready.notes
    assert "Hedge.md" not in ready.snapshot.notes
    assert not ready.holds_private
    assert gathering(vault, WANTED).holds_private
    assert "Hedge.md" in vault.snapshot.notes, "the vault itself knows it as before"
    context = build(vault, Shelf(), replace(WANTED, private=False)).context
    assert not context.private
    assert not any(one.path == "Hedge.md" or "Hedge.md" in one.via for one in context.passages)
    assert not any(one.path == "Hedge.md" for one in context.cut)


def test_an_open_note_leaves_each_way_its_part(tmp_path: Path) -> None:
    """The note, the search and the maps each could fill the budget; with the note open no way is left with nothing."""
    prose = "The quince is pruned in March, says the almanac. " * 30
    files = {f"n{n}.md": f"## Part\n{prose}" for n in range(30)}
    files |= {"Long.md": "\n\n".join(f"## {n}\nOther things. {'and more ' * 90}" for n in range(30))}
    files |= {
        "Garden MOC.md": "".join(f"- [[m{n}]]\n" for n in range(30)),
        **{f"m{n}.md": "leaf " * 150 for n in range(30)},
    }
    vault = open_vault(tmp_path, files)
    wanted = replace(
        WANTED, text="quince in the garden moc", gather={"search": 0.6, "maps": 0.4}, budget=4000, open_note="Long.md"
    )
    context = build(vault, Shelf(), wanted).context
    tokens: dict[str, int] = {}
    for one in context.passages:
        tokens[one.lane] = tokens.get(one.lane, 0) + one.tokens
    assert tokens["maps"] > 800
    assert tokens["note"] > 600
    assert tokens["search"] > 1400


def test_what_is_worked_out_without_private_notes_stays_apart(tmp_path: Path) -> None:
    files = {"@A.md": "[[Open]] [[Secret]]", "Open.md": "", "Secret.md": "---\nprivate: true\n---\n"}
    vault = open_vault(tmp_path, files)
    outside = gathering(vault, replace(WANTED, private=False)).snapshot
    outside.kept["found"] = 1
    assert "found" not in gathering(vault, WANTED).snapshot.kept
    assert gathering(vault, replace(WANTED, private=False)).snapshot is outside, "and is not worked out each time anew"
