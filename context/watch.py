"""Keeps a vault fresh while serving: file events once they have settled, and a rescan that is the truth."""

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

from context.vault import Vault

# Seconds without further events before files are read: editors save in several steps.
SETTLE_SECONDS = 0.05
# A steady stream of events cannot put reading off for longer than this.
LONGEST_SECONDS = 1.0
# The watcher is a hint and the stat walk the truth: events may be lost without a word.
RESCAN_SECONDS = 30.0
# How often to look whether events can come at all, in seconds: whether the threads live and the folder is the same.
PULSE_SECONDS = 1.0
# With more files changed at once, looking at every file is no more work.
MOST_PATHS = 2000
# Where watchdog tells that the system's queue of events overflowed: nowhere but in its log.
_WATCHDOG = "watchdog"


class Watch:
    """Reads a vault again after its files change. One thread of its own; stop it with `stop`."""

    def __init__(
        self, vault: Vault, *, rescan_seconds: float = RESCAN_SECONDS, told: Callable[[int], None] = lambda _: None
    ) -> None:
        """Begin to watch, and look once: files may have changed between the vault's reading and now.

        Args:
            vault: what to keep fresh.
            rescan_seconds: how often to look without being told.
            told: called after each reading that found something, with the number of notes that changed.
        """
        self._vault = vault
        self._rescan = rescan_seconds
        self._told = told
        self._dirty = threading.Event()
        self._lost = threading.Event()
        self._stopping = threading.Event()
        self._log = _Overflow(self._overflowed)
        logging.getLogger(_WATCHDOG).addHandler(self._log)
        self._root: tuple[int, int] | None = None
        self._guard = threading.Lock()
        self._paths: set[str] | None = None  # what to look at; None for every file
        self._tidying: threading.Thread | None = None
        self._observer = self._observe()
        self._dirty.set()
        self._thread = threading.Thread(target=self._run, name="vault-watch", daemon=True)
        self._thread.start()

    @property
    def how(self) -> str:
        """How changes are noticed, for people."""
        return "file events and rescans" if self._observer else "rescans only"

    def _observe(self) -> BaseObserver | None:
        # For folders made deep and at once, watchdog warns with a text that lists every watched path.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._lost.clear()
        self._root = _identity(self._vault.root)
        observer: BaseObserver | None = None
        try:
            observer = Observer()
            observer.schedule(_Handler(self._changed), str(self._vault.root), recursive=True)
            observer.start()
        except OSError:  # out of inotify watches, or the folder is gone: the rescan alone keeps the vault fresh, later
            _stop(observer)
            return None
        return observer

    def _changed(self, names: Iterable[str] | None) -> None:
        """Take note of files that changed, by their full names; of None when more may have."""
        root = f"{self._vault.root}{os.sep}"
        with self._guard:
            if names is None or self._paths is None or len(self._paths) > MOST_PATHS:
                self._paths = None
            else:
                self._paths.update(name[len(root) :].replace(os.sep, "/") for name in names if name.startswith(root))
        self._dirty.set()

    def _taken(self) -> set[str] | None:
        with self._guard:
            paths, self._paths = self._paths, set()
        return paths

    def _seen(self) -> list[str]:
        """What will be looked at, as far as it is known by name."""
        with self._guard:
            return list(self._paths or ())

    def _overflowed(self) -> None:
        self._lost.set()
        self._dirty.set()

    def _is_broken(self) -> bool:
        """Whether events may be missing: some were lost, a thread died, or the folder is another one than before."""
        if self._lost.is_set() or self._root != _identity(self._vault.root):
            return True
        return self._observer is not None and not all(thread.is_alive() for thread in _threads(self._observer))

    def _wait(self) -> bool:
        """Wait until files have changed and settled; False when events may be missing, or it is time to look anyway."""
        until = time.monotonic() + self._rescan
        while (left := until - time.monotonic()) > 0 and not self._is_broken():
            if self._dirty.wait(min(left, PULSE_SECONDS)):
                self._vault.expect(self._seen())
                self._settle()
                return True
        return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            told = self._wait()
            self._dirty.clear()
            if self._stopping.is_set():
                return
            broken = self._observer is None or self._is_broken()
            if broken:  # watch anew first, then look: what happens in between is told
                _stop(self._observer)
                self._observer = self._observe()
            paths = self._taken()
            try:
                changed = self._vault.refresh(paths if told and not broken else None)
            except Exception:
                with self._guard:
                    self._paths = None
                logging.getLogger("knowledge_os").exception(
                    "the vault could not be read again; the next change tries anew"
                )
                continue
            if changed and not told and not broken:
                self._lost.set()  # no event told of it: a folder may be watched no more, so all are watched anew
            if changed:
                self._told(changed)
                self._tidy()

    def _tidy(self) -> None:
        """Bring the index in order beside all else: a change that comes meanwhile does not wait for it."""
        if self._tidying is None or not self._tidying.is_alive():
            enough = self._dirty.is_set
            self._tidying = threading.Thread(
                target=self._vault.index.tidy, args=(enough,), name="vault-tidy", daemon=True
            )
            self._tidying.start()

    def _settle(self) -> None:
        until = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < until and not self._stopping.is_set():
            self._dirty.clear()
            if not self._dirty.wait(SETTLE_SECONDS):
                return

    def stop(self) -> None:
        """Stop watching; returns once no file is being read."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join(5.0)
        if self._tidying is not None:
            self._tidying.join(5.0)
        _stop(self._observer)
        logging.getLogger(_WATCHDOG).removeHandler(self._log)


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder it is: another one may come to stand at the same path. None when there is none."""
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _threads(observer: BaseObserver) -> list[BaseThread]:
    """The threads that events pass: the observer's own, that of each watch, and the one that reads from the system."""
    held = [part for part in vars(observer).values() if isinstance(part, BaseThread)]
    return [observer, *observer.emitters, *held]


def _stop(observer: BaseObserver | None) -> None:
    if observer is None:
        return
    reader = [thread for thread in _threads(observer) if thread is not observer and thread not in observer.emitters]
    try:
        observer.stop()
    except Exception:  # noqa: BLE001 - its books of watched folders may be wrong after a storm (watchdog 7.1): KeyError
        for thread in reader:
            with suppress(Exception):
                thread.stop()  # what it did not come to: it holds the system's queue
    if observer.ident is not None:  # it was started
        observer.join(2.0)


class _Overflow(logging.Handler):
    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._lost()


class _Handler(FileSystemEventHandler):
    def __init__(self, changed: Callable[[Iterable[str] | None], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Our own reading must not wake us. All else counts: also a file that was only touched, or may be read now.
        if event.event_type in {"opened", "closed_no_write"}:
            return
        if not event.is_directory:
            self._changed([os.fsdecode(name) for name in (event.src_path, event.dest_path) if name])
        elif event.event_type != "modified":  # which only says that something in it did
            self._changed(None)
