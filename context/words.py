"""Words: what a text asks of the full text of a vault: telling words, characters, words side by side."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from context.names import fold
from context.note import UNSPACED

# What a question says of notes in general is nothing that it asks for.
_NOTES = re.compile(
    r"\b(?:which|what|any|all|every|list|my|the|of)\s+(?:of\s+)?(?:my\s+|the\s+)?notes?\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_]+(?:[’'][^\W_]+)*")
# Scripts written without blanks: each character is indexed as a word of its own.
_UNSPACED = re.compile(f"([{UNSPACED}])")
_APART = re.compile(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
_RUNS = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
# A text longer than this many words is searched by its first ones: more tell nothing more.
_MOST_WORDS = 48

# What is left of a word without its ending has at least so many characters.
_STEM = 3
# A name says more than another word.
_NAME = 1.3

# Words that carry no subject. English, since the rank of common words of any language is damped by their frequency.
STOP_WORDS = frozenset(
    """
    a about all am an and any are as at be been being between both but by can could did do does during each find
    for from give had has have he her hers him his how i if in into is it its me more most much my no nor not of
    on one or our out please same shall she should show so some such tell than that the their theirs them then
    there these they this those to too up us very was we were what when where which while who whom whose why
    will with would you your yours
    """.split()
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a text asks for.

    Attributes:
        terms: word → how much it says; of a script without blanks two characters that stand side by side, "梅 の".
        pairs: telling words that stand side by side.
    """

    terms: Mapping[str, float]
    pairs: tuple[tuple[str, str], ...] = ()


def spaced(text: str) -> str:
    """Text, composed, with blanks around each character of a script that is written without them."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFC", text))


def joined(text: str) -> str:
    """What `spaced` took apart, put together again: no blank stands between two characters of such a script."""
    return text if text.isascii() else _APART.sub("", text)


def words(text: str) -> list[str]:
    """The words of a text that say what it is about, folded, each once; all its words when nothing else is left."""
    found = list(dict.fromkeys(word for word, _ in _folded(text)))
    telling = [word for word in found if word not in STOP_WORDS and len(word) > 1]
    return (telling or found)[:_MOST_WORDS]


def asked(text: str) -> Asked:
    """What a text asks for; without terms when it has no words."""
    terms: dict[str, float] = {}
    pairs: dict[tuple[str, str], None] = {}
    telling = set(words(text))
    before = ""
    for word, is_name in _folded(text):
        if word not in telling:
            continue
        for term in _terms(word):
            terms[term] = max(terms.get(term, 0.0), _NAME if is_name else 1.0)
        if before and before != word:
            pairs[before, word] = None
        before = word
    return Asked(terms, tuple(pairs))


def stems(text: str) -> frozenset[str]:
    """All words of a text as `asked` has them, stemmed: to see which of a question's words it holds."""
    return frozenset(_stem(term) for word in _WORD.findall(fold(text)) for term in _terms(word))


def stem(word: str) -> str:
    """A folded word without the endings that English adds to it: enough to see "hives" and "hive" as one."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ings", ""), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _STEM:
            word = word.removesuffix(ending) + instead
            break
    return word[:-1] if word.endswith("e") and len(word) > _STEM else word


_stem = lru_cache(maxsize=16384)(stem)


def _folded(text: str) -> Iterator[tuple[str, bool]]:
    """Each word, folded, and whether it looks like a name: it begins with a capital, and no sentence does."""
    # Composed first: an accent that stands as a character of its own would end the word.
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    composed = _NOTES.sub(lambda match: " " * len(match[0]), composed)
    for match in _WORD.finditer(composed):
        word = match[0]
        begins = match.start() == 0 or composed[match.start() - 2 : match.start()] in (". ", "? ", "! ")
        yield fold(word), word[0].isupper() and not begins


def _terms(word: str) -> Iterator[str]:
    """A word as it is looked for: itself, or each two characters of a script without blanks."""
    if word.isascii() or not _UNSPACED.search(word):
        yield word
        return
    for run in _RUNS.findall(word):
        if len(run) == 1 or not _UNSPACED.match(run):
            yield run
        else:
            yield from (f"{one} {other}" for one, other in pairwise(run))
