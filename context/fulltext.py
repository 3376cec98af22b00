"""Full text: which chunks of a vault hold which words, in a tantivy index beside the notes; it may be lost."""

import errno
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import tantivy
from tantivy import Document, Filter, Index, Occur, Query, SchemaBuilder, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from context.chunk import Chunk
from context.words import Asked, spaced

# What the writer gathers before it writes, in bytes: the least there is for one thread, and for a whole vault.
_HEAP_BYTES, _FILL_HEAP_BYTES = 15_000_000, 60_000_000
# The words of a whole vault are written by so many threads: one takes longer than all that is done beside it.
_FILL_THREADS = 2
# A longer run of letters is no word that anybody looks for, in bytes.
_LONGEST_WORD = 80
# What stands between two texts of a chunk: a word that is left out, so that none before it is beside one after it.
_GAP = f" {'x' * _LONGEST_WORD} "
# How much a word says that fits by its stem, and in its exact form; and two words side by side.
_STEM, _EXACT, _PAIR = 0.5, 0.5, 0.15
# Answers to `holding` that are kept until something changes: the same names are asked for again and again.
_MOST_HELD = 4096
# Two words side by side that each stand in more chunks than this say little, and would take most of a search.
_COMMON = 1500
# What every chunk has.
_EVERY = "chunk"
# Seconds that pieces of a full text which was closed are waited for, before its folder is removed.
_LAST_WRITES_SECONDS = 5.0
# So many words may stand between two that belong together.
_SLOP = 1
# The text that tantivy gives its errors: what is not damage, but the disk or another process.
_NOT_OURS = ("LockFailure", "LockBusy", "StorageFull", "PermissionDenied", "ReadOnlyFilesystem", "No space left")


class FullTextError(sqlite3.DatabaseError):
    """Full text cannot be read or written. A fault of the index like any other: see `Index.rebuild`.

    Attributes:
        sqlite_errorcode: SQLITE_FULL where a new file would meet the same fault, SQLITE_CORRUPT otherwise.
    """

    def __init__(self, cause: BaseException) -> None:
        """Of an error of tantivy."""
        super().__init__("full text cannot be read or written")
        same = isinstance(cause, OSError) or any(word in str(cause) for word in _NOT_OURS)
        self.sqlite_errorcode = sqlite3.SQLITE_FULL if same else sqlite3.SQLITE_CORRUPT


def _analyzer(*, stemmed: bool) -> TextAnalyzer:
    made = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(_LONGEST_WORD))
    made = made.filter(Filter.lowercase()).filter(Filter.ascii_fold())
    return (made.filter(Filter.stemmer("English")) if stemmed else made).build()


_STEMMED, _BARE = _analyzer(stemmed=True), _analyzer(stemmed=False)


def _schema() -> tantivy.Schema:
    made = SchemaBuilder()
    made.add_unsigned_field("chunk", fast=True)
    made.add_unsigned_field("note", indexed=True)
    made.add_text_field("every", tokenizer_name="raw", index_option="basic")
    made.add_text_field("stem", tokenizer_name="stem", index_option="position")
    made.add_text_field("exact", tokenizer_name="bare", index_option="position")
    return made.build()


@contextmanager
def _told() -> Iterator[None]:
    """Errors of tantivy as ours; it raises ValueError for most, and a panic is no Exception."""
    try:
        yield
    except Exception as error:
        raise FullTextError(error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise FullTextError(error) from error


class FullText:
    """The words of the chunks of a vault, each chunk and note by its number. Safe to use from several threads."""

    def __init__(self, folder: Path | None, *, fresh: bool) -> None:
        """Open it.

        Args:
            folder: where it lies; None keeps it in memory.
            fresh: begin an empty one, whatever lies there.

        Raises:
            FullTextError: it is damaged, of another version, or cannot be read or written.
        """
        self._lock = threading.Lock()
        self._schema = _schema()
        self._writer: tantivy.IndexWriter | None = None
        with _told():
            if folder is not None:
                if fresh:
                    discard(folder)
                folder.mkdir(mode=0o700, exist_ok=True)
                for left in folder.glob(".tmp*"):
                    left.unlink(missing_ok=True)
                if not fresh and not Index.exists(str(folder)):
                    raise FileNotFoundError(folder.name)
            self._index = Index(self._schema, path=str(folder)) if folder else Index(self._schema)
            self._index.register_tokenizer("stem", _STEMMED)
            self._index.register_tokenizer("bare", _BARE)
            self._index.config_reader("manual")
            self._searcher = self._index.searcher()
        self._held: dict[tuple[str, int, bool], list[int]] = {}

    def add(self, note: int, chunks: Iterable[tuple[int, Chunk]], *, whole_vault: bool = False) -> None:
        """Add the chunks of a note, by their numbers; nothing is found until `commit`.

        Raises:
            FullTextError: see there.
        """
        with self._lock, _told():
            writer = self._writing(_FILL_HEAP_BYTES, _FILL_THREADS) if whole_vault else self._writing()
            for number, chunk in chunks:
                made = Document()
                made.add_unsigned("chunk", number)
                made.add_unsigned("note", note)
                made.add_text("every", _EVERY)
                texts = chunk.title, spaced(chunk.heading), chunk.properties, chunk.body
                text = _encodable(_GAP.join(filter(None, texts)))
                made.add_text("stem", text)
                made.add_text("exact", text)
                writer.add_document(made)

    def drop(self, notes: Iterable[int]) -> None:
        """Take out the chunks of notes; they are found until `commit`.

        Raises:
            FullTextError: see there.
        """
        with self._lock, _told():
            for note in notes:
                # By query: by term, nothing is deleted of a field of unsigned numbers, and nothing said.
                self._writing().delete_documents_by_query(Query.term_query(self._schema, "note", note))

    def commit(self, *, rest: bool = False) -> None:
        """Make what was added and dropped last, and found.

        Args:
            rest: let go of what the writer holds in memory, and wait until it has put its pieces together.

        Raises:
            FullTextError: see there.
        """
        with self._lock, _told():
            if self._writer is not None:
                self._writer.commit()
                if rest:
                    self._writer.wait_merging_threads()
                    self._writer = None
            self._seen()

    def reload(self) -> None:
        """See what other processes made last.

        Raises:
            FullTextError: see there.
        """
        with self._lock, _told():
            self._seen()

    def rollback(self) -> None:
        """Forget what was added and dropped since the last `commit`."""
        with self._lock, _told():
            if self._writer is not None:
                self._writer.rollback()

    def search(self, asked: Asked, limit: int, notes: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """The chunks that fit best by BM25, each with its number and score, best first.

        Args:
            asked: any of its words will do.
            limit: how many.
            notes: the only notes looked at; None for all.

        Raises:
            FullTextError: see there.
        """
        with _told():
            parts = [*self._words(asked), *self._pairs(asked)]
            if not parts or limit < 1:
                return []
            query = Query.boolean_query([(Occur.Should, part) for part in parts])
            if notes is not None:
                inside = Query.const_score_query(Query.term_set_query(self._schema, "note", list(notes)), 0.0)
                query = Query.boolean_query([(Occur.Must, query), (Occur.Must, inside)])
            return self._found(query, limit)

    def holding(self, phrase: str, limit: int, *, stemmed: bool = False) -> list[int]:
        """The numbers of chunks that hold these words, or others of their stems, side by side; at most `limit`."""
        asked = phrase, limit, stemmed
        if (known := self._held.get(asked)) is not None:
            return known
        with _told():
            held = self._held
            field, tokens = ("stem", _stemmed(spaced(phrase))) if stemmed else ("exact", _bare(spaced(phrase)))
            query = self._phrase(field, tokens, 0)
            found = [number for number, _ in self._found(query, limit)] if query is not None else []
            if len(held) >= _MOST_HELD:
                held.clear()
            held[asked] = found
            return found

    def frequency(self, word: str) -> int:
        """In how many chunks a word stands, at most; of several words the rarest counts."""
        with _told():
            tokens = _BARE.analyze(spaced(word))
            return min((self._searcher.doc_freq("exact", token) for token in tokens), default=0)

    @property
    def size(self) -> int:
        """How many chunks there are."""
        return int(self._searcher.num_docs)

    @property
    def weight(self) -> int:
        """How many chunks count for the ranks of words: those that are gone too, until tantivy clears them away."""
        with _told():
            return self._searcher.doc_freq("every", _EVERY)

    def close(self) -> None:
        """Let go of the writer. What was not committed is lost."""
        with self._lock:
            self._writer = None

    def _seen(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()
        self._held = {}  # last: what is found meanwhile with the searcher before must not stay

    def _writing(self, heap: int = _HEAP_BYTES, threads: int = 1) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(heap, threads)
            # A process that was killed may have left files whose names the writer would use again.
            self._writer.garbage_collect_files()
        return self._writer

    def _found(self, query: Query, limit: int) -> list[tuple[int, float]]:
        searcher = self._searcher
        hits: list[Any] = searcher.search(query, limit, count=False).hits
        numbers = searcher.fast_field_values("chunk", [address for _, address in hits])
        return [(int(number or 0), float(score)) for number, (score, _) in zip(numbers, hits, strict=True)]

    def _words(self, asked: Asked) -> Iterator[Query]:
        for term, weight in asked.terms.items():
            for field, tokens, says in (("stem", _stemmed(term), _STEM), ("exact", _bare(term), _EXACT)):
                query = self._phrase(field, tokens, 0)
                if query is not None:
                    yield Query.boost_query(query, weight * says)

    def _pairs(self, asked: Asked) -> Iterator[Query]:
        for pair in asked.pairs:
            tokens = [token for word in pair for token in _stemmed(word)]
            if min((self._searcher.doc_freq("stem", token) for token in tokens), default=0) > _COMMON:
                continue
            query = self._phrase("stem", tokens, _SLOP)
            if query is not None:
                yield Query.boost_query(query, _PAIR)

    def _phrase(self, field: str, tokens: Sequence[str], slop: int) -> Query | None:
        if len(tokens) < 2:
            return Query.term_query(self._schema, field, tokens[0], "freq") if tokens else None
        return Query.phrase_query(self._schema, field, list(tokens), slop)


def discard(folder: Path) -> None:
    """Remove a folder in which a full text lies. One that was closed may still be putting its pieces together there.

    Raises:
        OSError: it cannot be removed.
    """
    until = time.monotonic() + _LAST_WRITES_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _analyzing(analyzer: TextAnalyzer) -> Callable[[str], tuple[str, ...]]:
    @lru_cache(maxsize=1 << 12)
    def analyze(term: str) -> tuple[str, ...]:
        return tuple(analyzer.analyze(term))

    return analyze


_stemmed, _bare = _analyzing(_STEMMED), _analyzing(_BARE)


def _encodable(text: str) -> str:
    """Text without halves of characters, which no encoding has."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
