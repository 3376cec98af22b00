"""Full-text search: turns a question into words and finds the chunks that fit them."""

import re
import unicodedata
from collections.abc import Iterable

from context.chunk import spaced
from context.index import Hit
from context.names import fold
from context.vault import Snapshot, Vault

_WORD = re.compile(r"\w+")
_LINK = re.compile(r"\[\[([^\[\]\n|#]{1,300})(?:[|#][^\[\]\n]{0,300})?\]\]")
# A question longer than this many words is searched by its first ones: bm25 gains nothing more from the rest.
_MOST_WORDS = 48

# What is left of a word without its ending has at least so many characters.
_STEM = 3

# Words that carry no subject. English, since bm25 already damps common words of any language by their frequency.
STOP_WORDS = frozenset(
    """
    a about an and any are as at be been but by can could did do does find for from give had has have how i if in
    into is it its me my no not of on or our out please should show so some tell than that the their them then
    there these they this those to up us was we were what when where which who why will with would you your
    """.split()
)


def words(text: str) -> list[str]:
    """The words of a question that say what it is about, folded, each once; all its words when nothing else is left."""
    # Composed first: an accent that stands as a character of its own would end the word.
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    found = list(dict.fromkeys(fold(word) for word in _WORD.findall(composed)))
    telling = [word for word in found if word not in STOP_WORDS and len(word) > 1]
    return (telling or found)[:_MOST_WORDS]


def stem(word: str) -> str:
    """A folded word without the endings that English adds to it: enough to see "hives" and "hive" as one."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ings", ""), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _STEM:
            word = word.removesuffix(ending) + instead
            break
    return word[:-1] if word.endswith("e") and len(word) > _STEM else word


def expression(terms: Iterable[str]) -> str:
    """An FTS5 expression that any of the words satisfies. Each is quoted, so nothing in it can be an operator."""
    return " OR ".join(f'"{spaced(term).strip()}"' for term in terms)


def search(vault: Vault, text: str, *, limit: int = 60) -> list[Hit]:
    """The chunks that fit a question, best first; none for a question without words."""
    terms = words(text)
    return vault.search(expression(terms), limit) if terms else []


def named(snapshot: Snapshot, text: str) -> list[str]:
    """The notes that a text names by a wikilink, in order: what a person names is always wanted."""
    found: dict[str, None] = {}
    for match in _LINK.finditer(text):
        path = snapshot.names.resolve(match[1], "") or next(
            iter(snapshot.aliases.get(fold(match[1].strip()), ())), None
        )
        if path in snapshot.notes:
            found[str(path)] = None
    return list(found)
