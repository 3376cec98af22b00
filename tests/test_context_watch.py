"""While it is watched, a vault is what the disk is: after saves of every kind, after storms, and when events are lost."""

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from context.vault import Vault
from context.watch import Watch
from context.words import asked
from tests.kos import until
from tests.vaults import open_vault, write


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault", {"A.md": "[[B]]", "B.md": "b", "deep/C.md": "c"})


@pytest.fixture
def watched(vault: Vault) -> Iterator[Vault]:
    watch = Watch(vault, rescan_seconds=600)
    assert watch.how == "file events and rescans"
    yield vault
    watch.stop()


def text_of(vault: Vault, path: str) -> str:
    return vault.text(path)[1] if path in vault.snapshot.notes else ""


def found(vault: Vault, word: str) -> list[str]:
    return [hit.path for hit in vault.search(asked(word), 5)]


def test_a_save_in_place_is_seen_and_can_be_searched(watched: Vault) -> None:
    (watched.root / "B.md").write_text("pomegranate [[A]]")
    until(lambda: found(watched, "pomegranate") == ["B.md"])
    # What is searched is written a moment before the snapshot changes.
    until(lambda: watched.snapshot.graph.back.get("A.md") == ("B.md",))


@pytest.mark.parametrize("where", ["same folder", "elsewhere"])
def test_a_save_by_rename_is_seen(watched: Vault, tmp_path: Path, where: str) -> None:
    draft = (watched.root if where == "same folder" else tmp_path) / ".draft"
    draft.write_text("pomegranate")
    draft.replace(watched.root / "B.md")
    until(lambda: found(watched, "pomegranate") == ["B.md"])


def test_new_moved_and_removed_notes_are_seen(watched: Vault) -> None:
    write(watched.root, {"new/folder/deep/D.md": "[[A]]"})
    until(lambda: "new/folder/deep/D.md" in watched.snapshot.notes)
    (watched.root / "new/folder/deep/D.md").rename(watched.root / "E.md")
    until(lambda: "E.md" in watched.snapshot.notes)
    until(lambda: "new/folder/deep/D.md" not in watched.snapshot.notes)
    (watched.root / "E.md").unlink()
    until(lambda: "E.md" not in watched.snapshot.notes)


def test_a_changed_setting_of_the_vault_is_seen(watched: Vault) -> None:
    write(watched.root, {".obsidian/app.json": '{"userIgnoreFilters": ["deep/"]}'})
    until(lambda: "deep/C.md" not in watched.snapshot.notes)


def test_a_changed_attachment_is_seen(watched: Vault) -> None:
    write(watched.root, {"deep/pic.png": "1"})
    until(lambda: "deep/pic.png" in watched.snapshot.attachments)
    digest = watched.snapshot.digest
    write(watched.root, {"deep/pic.png": "12345"})
    until(lambda: watched.snapshot.attachments["deep/pic.png"][1] == 5)
    assert watched.snapshot.digest != digest


def test_types_assigned_to_properties_are_seen(watched: Vault) -> None:
    write(watched.root, {".obsidian/types.json": '{"types": {"due": "date"}}'})
    until(lambda: watched.snapshot.settings.types == {"due": "date"})


def test_after_a_storm_the_index_is_what_the_disk_is(watched: Vault) -> None:
    for number in range(1500):
        write(watched.root, {f"storm/{number % 40}/{number}.md": f"word{number}"})
        if number % 3 == 0:
            (watched.root / f"storm/{number % 40}/{number}.md").write_text(f"other{number}")
        if number % 7 == 0:
            (watched.root / f"storm/{number % 40}/{number}.md").unlink()
    left = {path.relative_to(watched.root).as_posix() for path in watched.root.rglob("*.md")}
    until(lambda: set(watched.snapshot.notes) == left)
    until(lambda: found(watched, "other1497" if 1497 % 7 else "other1494") != [])


def test_reading_wakes_nobody(vault: Vault) -> None:
    told: list[int] = []
    watch = Watch(vault, rescan_seconds=600, told=told.append)
    for _ in range(5):
        vault.refresh()
        text_of(vault, "A.md")
    (vault.root / "B.md").write_text("changed")
    until(lambda: told)
    watch.stop()
    assert told == [1]


def test_what_no_event_tells_is_found_by_looking(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_watches(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("context.watch.Observer.schedule", no_watches)
    watch = Watch(vault, rescan_seconds=0.05)
    assert watch.how == "rescans only"
    (vault.root / "B.md").write_text("pomegranate")
    until(lambda: found(vault, "pomegranate") == ["B.md"])
    watch.stop()


def test_a_folder_that_is_watched_no_more_is_watched_again_once_a_look_finds_what_no_event_told(vault: Vault) -> None:
    watch = Watch(vault, rescan_seconds=1.0)
    try:
        until(lambda: not watch._dirty.is_set())
        assert watch._observer is not None
        emitters = list(watch._observer.emitters)
        watch._observer.unschedule_all()
        for emitter in emitters:
            emitter.join(5)
        time.sleep(1.5)  # a look in vain: what was told before is through
        (vault.root / "deep/C.md").write_text("found by looking")
        until(lambda: "looking" in text_of(vault, "deep/C.md"))
        until(lambda: watch._observer is not None and watch._observer.emitters)
        watch._rescan = 600
        for number in range(3):  # the first may still be found by a look that had begun
            (vault.root / "deep/C.md").write_text(f"told by an event {number}")
            until(lambda told=f"event {number}": told in text_of(vault, "deep/C.md"))
    finally:
        watch.stop()


def test_a_fault_while_reading_does_not_end_the_watch(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = vault.refresh, threading.Event()

    def once(paths: Iterable[str] | None = None) -> int:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a fault that nobody foresaw")
        return real(paths)

    monkeypatch.setattr(vault, "refresh", once)
    watch = Watch(vault, rescan_seconds=600)
    (vault.root / "B.md").write_text("first")
    until(failed.is_set)
    (vault.root / "B.md").write_text("pomegranate")
    until(lambda: found(vault, "pomegranate") == ["B.md"])
    watch.stop()


def test_stopping_leaves_no_thread_and_no_open_file(vault: Vault) -> None:
    def open_files() -> int:
        place = Path("/proc/self/fd")
        return len(list(place.iterdir())) if place.exists() else 0

    threads, files = threading.active_count(), open_files()
    for _ in range(3):
        Watch(vault, rescan_seconds=600).stop()
    until(lambda: threading.active_count() == threads)
    until(lambda: open_files() <= files)
