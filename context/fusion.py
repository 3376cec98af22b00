"""Fusion: what a chunk is worth by its words and its meaning, by its note and its neighbours."""

from collections.abc import Mapping

# What the constants below gave on five vaults stands in docs/benchmarks.md ("Search").

# What meaning counts beside words, when both tell chunks apart equally well.
_MEANING = 0.7
# How well a ranking tells chunks apart is seen by how far the tenth falls behind the first.
_TENTH = 10
# An embedder that understands a question finds some of what its words find: so many of its nearest ten, where words
# find so many chunks. One that does not (of another language, or a wrong model behind the name) finds by chance.
_SHARED, _OF = 5, 300
# What an embedder says beyond this many places behind the point is noise, and no two runs need agree on it.
_PLACES = 4
# What the note of a chunk and the better of its neighbours add to it. The chunks of a note count half as much each
# time: a long note does not win by its length.
_NOTE, _BESIDE, _LESS = 0.5, 0.25, 0.5


def blended(words: Mapping[int, float], cosines: Mapping[int, float | None], least: float) -> dict[int, float]:
    """What chunks are worth by words and meaning together; the best first.

    Fixed weights are unsafe: on notes that all begin alike an embedder sees little difference, and a question in other
    words than the notes leaves BM25 with little. So the weight follows this one question: a side counts as much as its
    ranking falls from the first to the tenth, against the fall of the other, and meaning less when nothing near has
    any of the words though many have. One that tells nothing apart counts nothing.

    Args:
        words: scores by words of chunks, by number; a chunk that is not in it has none of the words.
        cosines: with the question, of all these chunks and of those that are nearest to it; None for one that has no
            vector yet, which is taken to mean what its words say.
        least: what is no nearer than this is far.
    """
    most = max(words.values(), default=0.0) or 1.0
    top = max((cosine for cosine in cosines.values() if cosine is not None), default=least)
    said = {number: words.get(number, 0.0) / most for number in cosines}
    meant = {
        number: said[number] if cosine is None else round(max(0.0, cosine - least) / ((top - least) or 1.0), _PLACES)
        for number, cosine in cosines.items()
    }
    by_words, by_meaning = _fall(said), _fall(meant)
    weight = _MEANING * 2 * by_meaning / ((by_words + by_meaning) or 1.0)
    nearest = sorted(meant, key=lambda number: (-meant[number], number))[:_TENTH]
    shared = sum(number in words for number in nearest)
    weight *= min(1.0, (shared + 1) / (_SHARED * len(words) / _OF + 1))
    worth = {number: said[number] + weight * meant[number] for number in cosines}
    return dict(sorted(worth.items(), key=lambda one: (-one[1], one[0])))


def _fall(worth: Mapping[int, float]) -> float:
    """How far the tenth falls behind the first, in 0..1."""
    ranked = sorted(worth.values(), reverse=True)[:_TENTH]
    return ranked[0] - ranked[-1] if ranked else 0.0


def together(own: Mapping[int, float], paths: Mapping[int, str]) -> dict[int, float]:
    """What chunks are worth with their notes and neighbours, the best 1, in the order they came.

    Args:
        own: what each is worth alone, by number, the best first. The chunks of a note have numbers that follow.
        paths: of the notes they are of.
    """
    top = max(own.values(), default=0.0) or 1.0
    notes: dict[str, float] = {}
    turns: dict[str, float] = {}
    for number, score in own.items():
        path = paths[number]
        turn = turns.get(path, 1.0)
        notes[path] = notes.get(path, 0.0) + score / top * turn
        turns[path] = turn * _LESS
    most = max(notes.values(), default=0.0) or 1.0
    worth: dict[int, float] = {}
    for number, score in own.items():
        path = paths[number]
        beside = max(own.get(n, 0.0) if paths.get(n) == path else 0.0 for n in (number - 1, number + 1))
        worth[number] = score / top + _NOTE * notes[path] / most + _BESIDE * beside / top
    best = max(worth.values(), default=0.0) or 1.0
    return {number: score / best for number, score in worth.items()}
