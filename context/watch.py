"""Keeps a vault fresh while serving: file events once they have settled, and a rescan that is the truth."""

import logging
import threading
import warnings
from collections.abc import Callable

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from context.vault import Vault

# Seconds without further events before files are read: editors save in several steps.
SETTLE_SECONDS = 0.05
# A steady stream of events cannot put reading off for longer than this.
LONGEST_SECONDS = 1.0
# The watcher is a hint and the stat walk the truth: events are lost when a queue overflows, sometimes silently.
RESCAN_SECONDS = 30.0


class Watch:
    """Reads a vault again after its files change. One thread of its own; stop it with `stop`."""

    def __init__(
        self, vault: Vault, *, rescan_seconds: float = RESCAN_SECONDS, told: Callable[[int], None] = lambda _: None
    ) -> None:
        """Begin to watch.

        Args:
            vault: what to keep fresh.
            rescan_seconds: how often to look without being told.
            told: called after each reading that found something, with the number of notes that changed.
        """
        self._vault = vault
        self._rescan = rescan_seconds
        self._told = told
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._observer = self._observe()
        self._thread = threading.Thread(target=self._run, name="vault-watch", daemon=True)
        self._thread.start()

    @property
    def how(self) -> str:
        """How changes are noticed, for people."""
        return "file events and rescans" if self._observer else "rescans only"

    def _observe(self) -> object | None:
        # For folders made deep and at once, watchdog warns with a text that lists every watched path.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        try:
            observer = Observer()
            observer.schedule(_Handler(self._dirty.set), str(self._vault.root), recursive=True)
            observer.start()
        except OSError:  # out of inotify watches: the rescan alone keeps the vault fresh, later
            return None
        return observer

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._dirty.wait(self._rescan):
                self._settle()
            self._dirty.clear()
            if self._stopping.is_set():
                return
            try:
                changed = self._vault.refresh()
            except Exception:
                logging.getLogger("knowledge_os").exception(
                    "the vault could not be read again; the next change tries anew"
                )
                continue
            if changed:
                self._told(changed)

    def _settle(self) -> None:
        waited = 0.0
        while waited < LONGEST_SECONDS and not self._stopping.is_set():
            self._dirty.clear()
            if not self._dirty.wait(SETTLE_SECONDS):
                return
            waited += SETTLE_SECONDS

    def stop(self) -> None:
        """Stop watching; returns once no file is being read."""
        self._stopping.set()
        self._dirty.set()
        if self._observer is not None:
            self._observer.stop()  # type: ignore[attr-defined]
            self._observer.join(2.0)  # type: ignore[attr-defined]
        self._thread.join(5.0)


class _Handler(FileSystemEventHandler):
    def __init__(self, dirty: Callable[[], None]) -> None:
        self._dirty = dirty

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Opening and closing without writing are events too; our own reading must not wake us.
        if event.event_type in {"created", "modified", "moved", "deleted"}:
            self._dirty()
