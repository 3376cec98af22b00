"""The order of texts as the app's language has it: letters before case, accents between, marks before digits."""

import unicodedata
from functools import lru_cache

# The Unicode collation of the root locale (CLDR, "Root Collation"), which English follows, for the characters that
# names are made of. What is not listed follows its kind: marks, signs, digits, letters, each by its code point.
_ORDER = (
    "\t\n\v\f\r\x85\u2028\u2029 _-\u2010\u2011\u2012\u2013\u2014\u2015,\u3001;:!¡?¿\u203d.\u3002·'‹›\"«»"
    "()[]{}\u300c\u300d\u2016§¶@*/\\&#%\u2030†‡•\u2023\u2027′※\u2040`^°©®←→↑↓↔⇒+±÷×<=>¬|¦~\u2212\u2044∞≈≤≥"
)
_PLACES = {character: place for place, character in enumerate(_ORDER, 0x100)}
_SIGN, _CURRENCY, _DIGIT, _LETTER = 0x1000, 0x30000, 0x40000, 0x50000
# These differ from the plain ones as a capital does from a small letter.
_QUOTES = str.maketrans("‘’‚‛“”„‟", "'" * 4 + '"' * 4)
# Letters that Unicode does not take apart, but the collation does.
_APART = str.maketrans(dict(zip("ßẞæÆœŒøØđĐłŁı", "ss SS ae AE oe OE o O d D l L i".split(), strict=True)))


def _place(character: str) -> int:
    """Where a character without case and accents stands."""
    if character in _PLACES:
        return _PLACES[character]
    kind = unicodedata.category(character)
    if kind == "Nd":
        return _DIGIT + unicodedata.decimal(character)
    if kind == "Sc":
        return _CURRENCY + min(ord(character), 0xFFFF)
    if kind[0] in "PZ":
        return 0x200 + min(ord(character), 0xFFFF) % 0xE00
    if kind[0] in "SNC" and kind != "Nl":
        return _SIGN + ord(character)
    point = ord(character)
    if 0x30A1 <= point <= 0x30F6:  # katakana beside hiragana
        point -= 0x60
    if 0x1100 <= point <= 0x11FF:  # hangul before kana
        point = 0x3000
    return _LETTER + point


def _ignored(character: str) -> bool:
    if "\ufe00" <= character <= "\ufe0f":  # says only how the character before it is drawn
        return True
    return unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()


# ASCII by one look-up a character, in C; what is ignored is left out.
_TABLE = {point: None if _ignored(chr(point)) else _place(chr(point).lower()) for point in range(128)}
_KEPT = {point: None for point, place in _TABLE.items() if place is None}


def same(first: str, second: str) -> bool:
    """Whether two texts are equal to the collation: whatever is written, not how it is encoded."""
    if first == second:
        return True
    if first.isascii() and second.isascii() and first.isprintable() and second.isprintable():
        return False
    return order(first) == order(second)


def order(text: str) -> tuple[str, ...]:
    """A key that sorts texts: by letters, then by accents, then small letters before capitals."""
    if text.isascii():
        kept = text if text.isprintable() else text.translate(_KEPT)
        return text.translate(_TABLE), "", kept.swapcase()
    return _order(text)


@lru_cache(maxsize=1 << 14)
def _order(text: str) -> tuple[str, ...]:
    first: list[str] = []
    second: list[str] = []
    third: list[str] = []
    for written in unicodedata.normalize("NFD", text):
        apart = unicodedata.normalize("NFKD", written).translate(_APART)
        # What stands for other letters comes after them: ß after ss, ² after 2.
        mark = "\uffff" if apart != unicodedata.normalize("NFD", written) else ""
        for character in apart:
            if _ignored(character):
                continue
            if unicodedata.category(character) == "Mn":
                second.append(character)
                continue
            small = character.lower()
            first.append(chr(_place(small[0].translate(_QUOTES))))
            second.append(" ")
            third.append((character.swapcase() if small != character or character.isascii() else character) + mark)
    return "".join(first), "".join(second).rstrip() if any(c != " " for c in second) else "", "".join(third)
