"""Storms of changes in a watched vault: once they have settled, what is served is what a fresh reading of the disk gives."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from context.index import Index
from context.vault import Vault
from context.watch import Watch
from context.words import asked
from tests.vaults import write

# A word that every note of these tests holds, so that one question shows every row of the full text.
EVERY = "everywhere"
LONG = 600.0  # seconds: no rescan comes to help within a test


def state(vault: Vault) -> dict[str, Any]:
    """All that a vault serves, but for when its changes were seen."""
    now = vault.snapshot
    words = [EVERY, "apple", "pear", "plum", "quince", *(Path(path).stem for path in sorted(now.files)[:40])]
    return {
        "notes": dict(now.notes),
        "files": now.files,
        "links": (dict(now.graph.out), dict(now.graph.back), dict(now.graph.unresolved)),
        "names": {path: now.names.resolve(Path(path).name, "x.md") for path in now.files},
        "digest": now.digest,
        "texts": {
            word: sorted((hit.path, hit.start, hit.end, hit.heading) for hit in vault.search(asked(word), 10**6))
            for word in dict.fromkeys(words)
        },
    }  # fmt: skip


def difference(vault: Vault) -> list[str]:
    """In what a vault differs from a new reading of its folder."""
    fresh = Vault(vault.root, Index(None), vault.options)
    live, cold = state(vault), state(fresh)
    fresh.close()
    return [part for part in cold if live[part] != cold[part]]


def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def settles(vault: Vault) -> None:
    """Wait until a vault is what its folder is."""
    end = time.monotonic() + 20
    while found := difference(vault):
        assert time.monotonic() < end, f"it still differs in its {', '.join(found)}"
        time.sleep(0.02)


FOLDERS = ("", "a/", "a/b/", "c/")
NAMES = ("One.md", "Two.md", "Three.md", "Café.md", unicodedata.normalize("NFD", "Café.md"), "board.canvas", "p.png")
PATHS = st.builds(lambda folder, name: folder + name, st.sampled_from(FOLDERS), st.sampled_from(NAMES))
TEXTS = st.sampled_from(
    [f"{EVERY} {words}" for words in ("apple", "grape", "plum [[Two]]", "pear [[a/One]]", "# H\n#tag", "quince\n")]
)  # fmt: skip


class Storm(RuleBasedStateMachine):
    """People, editors and sync services at work in a vault."""

    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp()).resolve()
        self.root = write(self.base / "vault", {"One.md": f"{EVERY} [[Two]]", "a/b/Two.md": EVERY})
        self.outside = write(self.base / "outside", {"In/Three.md": f"{EVERY} plum", "In/deep/er/One.md": EVERY})
        self.vault = Vault(self.root, Index(self.base / "index.sqlite"))
        self.watch = Watch(self.vault, rescan_seconds=LONG)

    def place(self, path: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    @rule(path=PATHS, text=TEXTS)
    def save(self, path: str, text: str) -> None:
        self.place(path).write_text(text * (400 if text.endswith("\n") else 1))  # several chunks, or one

    @rule(path=PATHS)
    def append(self, path: str) -> None:
        with self.place(path).open("a") as file:
            file.write(f" {EVERY} apple")

    @rule(path=PATHS, text=TEXTS)
    def save_by_rename(self, path: str, text: str) -> None:
        draft = self.place(path).with_name(".draft")
        draft.write_text(text)
        draft.replace(self.place(path))

    @rule(path=PATHS, to=PATHS)
    def rename(self, path: str, to: str) -> None:
        if (self.root / path).exists():
            (self.root / path).replace(self.place(to))

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    @rule(path=PATHS, seconds=st.integers(1, 10**9))
    def touch(self, path: str, seconds: int) -> None:
        if (self.root / path).exists():
            os.utime(self.root / path, (seconds, seconds))

    @rule(folder=st.sampled_from(FOLDERS[1:]), to=st.sampled_from(["a", "c", "d", "c/inner"]))
    def rename_folder(self, folder: str, to: str) -> None:
        source, target = self.root / folder, self.root / to
        if source.exists() and not target.exists() and not target.is_relative_to(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    @rule(folder=st.sampled_from(["a", "a/b", "c", "d", "In"]))
    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    @rule(folder=st.sampled_from(["a", "c", "d", "In"]), number=st.integers(0, 2))
    def move_out(self, folder: str, number: int) -> None:
        target = self.outside / f"{folder}{number}"
        if (self.root / folder).exists() and not target.exists():
            (self.root / folder).rename(target)

    @rule(folder=st.sampled_from(["In", "a0", "c1", "d2"]))
    def move_in(self, folder: str) -> None:
        if (self.outside / folder).exists() and not (self.root / folder).exists():
            (self.outside / folder).rename(self.root / folder)

    @rule(text=TEXTS)
    def make_deep_at_once(self, text: str) -> None:
        write(self.root, {"deep/of/the/vault/One.md": text, "deep/of/Two.md": text})

    @rule()
    def look(self) -> None:
        settles(self.vault)

    def teardown(self) -> None:
        if hasattr(self, "watch"):
            settles(self.vault)
            self.watch.stop()
            self.vault.close()
            shutil.rmtree(self.base)


# Watchdog's reader may fall over its own books in a storm; we must notice, and it may say so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("storms", "steps"), [(12, 25), pytest.param(300, 60, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_after_any_storm_the_index_is_what_the_disk_is(storms: int, steps: int) -> None:
    run_state_machine_as_test(
        Storm,
        settings=settings(
            max_examples=storms,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each wait in vain takes seconds: nothing is shrunk
        ),
    )


# The process that watches while it is stopped: the system's queue of events overflows, and what is lost is lost. Watchdog's
# own mending of that is taken away, as older ones have none: ours must do alone.
FROZEN = """
import logging, sys, time
from pathlib import Path
from watchdog.observers.inotify import InotifyWatchGroup
from context.index import Index
from context.vault import Vault
from context.watch import Watch
from tests.test_storms import difference, until

root, state = Path(sys.argv[1]), Path(sys.argv[2])
InotifyWatchGroup.on_queue_overflow = lambda self: None
heard = []
class Log(logging.Handler):
    def emit(self, record):
        heard.append("overflow" in record.getMessage())
logging.getLogger("watchdog").addHandler(Log())
vault = Vault(root, Index(state / "index.sqlite"))
watch = Watch(vault, rescan_seconds=600)
time.sleep(0.5)  # the first look is over
print("watching", flush=True)
notes = int(input())
until(lambda: len(vault.snapshot.notes) == notes, 100)
print(difference(vault), any(heard), flush=True)
until(lambda: "new/folder/Three.md" in vault.snapshot.notes)
print("seen", flush=True)
watch.stop()
"""


@pytest.mark.skipif(not Path("/proc/sys/fs/inotify/max_queued_events").exists(), reason="inotify is of Linux")
@pytest.mark.parametrize(
    ("files", "times"), [(500, 15), pytest.param(20_000, 1, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_an_overflow_of_events_is_heard_and_mended_at_once(tmp_path: Path, files: int, times: int) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if files * times * 3 < queue:  # opened, written, closed
        pytest.skip("the queue of this system holds more events")
    root = write(tmp_path / "vault", {"One.md": EVERY})
    with subprocess.Popen(
        [sys.executable, "-c", FROZEN, str(root), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "watching\n"
            child.send_signal(19)  # SIGSTOP
            for number in range(files * times):
                (root / f"{number % files}.md").write_text(f"{EVERY} [[{number}]]")
            write(root, {"new/folder/Two.md": EVERY})  # nobody is told of it any more
            child.send_signal(18)  # SIGCONT
            print(files + 2, file=child.stdin, flush=True)
            assert child.stdout.readline() == "[] True\n"
            write(root, {"new/folder/Three.md": EVERY})  # seen only when the new folder is watched after all
            assert child.stdout.readline() == "seen\n"
        finally:
            child.kill()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    files = {"One.md": f"{EVERY} [[Two]]", "a/Two.md": f"{EVERY} apple", "a/b/Three.md": EVERY}
    vault = Vault(write(tmp_path / "vault", files), Index(tmp_path / "index.sqlite"))
    yield vault
    vault.close()


@pytest.fixture
def watch(vault: Vault) -> Iterator[Watch]:
    watch = Watch(vault, rescan_seconds=LONG)
    yield watch
    watch.stop()


def test_a_steady_stream_of_writes_is_read_about_once_a_second(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []
    real = vault.refresh

    def refresh(paths: Iterable[str] | None = None) -> int:
        looked.append(time.monotonic())
        return real(paths)

    monkeypatch.setattr(vault, "refresh", refresh)
    watch = Watch(vault, rescan_seconds=LONG)
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < 2.5:
        number += 1
        (vault.root / f"{number % 50}.md").write_text(f"{EVERY} {number}")
        time.sleep(0.001)
    seen = len(looked)
    settles(vault)
    watch.stop()
    assert 1 <= seen <= 5


def test_a_change_before_the_watch_began_is_seen_at_once(vault: Vault) -> None:
    write(vault.root, {"One.md": f"{EVERY} pear"})
    watch = Watch(vault, rescan_seconds=LONG)
    settles(vault)
    watch.stop()


@pytest.mark.usefixtures("watch")
def test_a_file_that_is_only_touched_is_seen(vault: Vault) -> None:
    settles(vault)
    time.sleep(0.3)  # the first look is over
    os.utime(vault.root / "a/Two.md", (5, 5))
    settles(vault)
    assert vault.snapshot.notes["a/Two.md"].mtime_ns == 5 * 10**9


@pytest.mark.usefixtures("watch")
def test_folders_made_deep_and_at_once_are_seen_whole(vault: Vault) -> None:
    for number in range(30):
        write(vault.root, {f"d{number}/e/f/g/{name}.md": f"{EVERY} [[One]]" for name in "abc"})
    settles(vault)
    assert len(vault.snapshot.notes) == 93
    for number in range(30):
        (vault.root / f"d{number}/e/f/g/a.md").write_text(f"{EVERY} quince")
    settles(vault)


@pytest.mark.usefixtures("watch")
def test_what_moves_across_the_edge_of_the_vault_comes_and_goes(vault: Vault, tmp_path: Path) -> None:
    (vault.root / "a").rename(tmp_path / "away")
    settles(vault)
    assert set(vault.snapshot.notes) == {"One.md"}
    (tmp_path / "away" / "Two.md").write_text(f"{EVERY} plum")
    (tmp_path / "away").rename(vault.root / "back")
    settles(vault)
    assert set(vault.snapshot.notes) == {"One.md", "back/Two.md", "back/b/Three.md"}
    (vault.root / "back/b/Three.md").write_text(f"{EVERY} quince")  # its folder is watched at its new place
    settles(vault)
    (vault.root / "back/b/Three.md").rename(tmp_path / "Three.md")
    settles(vault)
    assert "back/b/Three.md" not in vault.snapshot.notes


def renewed(watch: Watch, vault: Vault, old: object) -> None:
    """Wait until a look has mended the watching, then prove that events alone suffice again."""
    until(lambda: watch._observer is not old and watch._observer is not None)
    write(vault.root, {"proof.md": f"{EVERY} plum"})
    until(lambda: "proof.md" in vault.snapshot.notes)
    time.sleep(0.3)  # a rescan that began before is over
    write(vault.root, {"a/proof.md": f"{EVERY} plum"})
    settles(vault)
    watch.stop()


@pytest.mark.parametrize("which", ["dispatcher", "watch", "reader"])
def test_a_thread_that_died_is_replaced(vault: Vault, which: str) -> None:
    watch = Watch(vault, rescan_seconds=LONG)
    observer: Any = watch._observer
    if which == "reader" and not hasattr(observer, "_inotify_fd"):
        pytest.skip("this system's observer has no such thread")
    dying = {
        "dispatcher": [observer],
        "watch": [*observer.emitters],
        "reader": [getattr(observer, "_inotify_fd", None)],
    }
    for thread in dying[which]:
        thread.stop()
        thread.join(5.0)
    renewed(watch, vault, observer)


def test_a_folder_that_went_and_came_back_is_watched_again(vault: Vault, tmp_path: Path) -> None:
    watch = Watch(vault, rescan_seconds=LONG)
    observer = watch._observer
    vault.root.rename(tmp_path / "elsewhere")
    until(lambda: not vault.snapshot.files)
    assert watch.how == "rescans only"
    shutil.copytree(tmp_path / "elsewhere", vault.root)
    renewed(watch, vault, observer)


def test_another_folder_at_the_same_place_is_watched(vault: Vault, tmp_path: Path) -> None:
    watch = Watch(vault, rescan_seconds=LONG)
    observer = watch._observer
    write(tmp_path / "other", {"One.md": f"{EVERY} quince", "a/Four.md": EVERY})
    vault.root.rename(tmp_path / "elsewhere")  # the system's watches go with it
    (tmp_path / "other").rename(vault.root)
    renewed(watch, vault, observer)


def test_a_watch_that_ran_out_of_places_takes_them_when_there_are_some(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    threads, listeners = threading.active_count(), len(logging.getLogger("watchdog").handlers)
    with monkeypatch.context() as patch:
        patch.setattr("context.watch.Observer.schedule", none_left)
        watch = Watch(vault, rescan_seconds=0.1)
        assert watch.how == "rescans only"
        write(vault.root, {"One.md": f"{EVERY} pear"})
        settles(vault)
        assert threading.active_count() <= threads + 2  # what failed to start is gone, but for the one being tried now
    until(lambda: watch.how != "rescans only")
    watch.stop()
    assert len(logging.getLogger("watchdog").handlers) == listeners
