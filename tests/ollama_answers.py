"""What the Ollama double says: cited answers out of the notes of a prompt, forms, vectors; and how it counts."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

_NOTE = re.compile(r'<note path="([^"]*)" heading="([^"]*)">\n(.*?)\n?</note>', re.DOTALL)
_SECTION = re.compile(r"^## .+$", re.MULTILINE)
_ORDER = re.compile(r"^\W*SAY: *(.*?)\s*$", re.MULTILINE)
_SENTENCE = re.compile(r"(.{12,240}?[.!?])(?:\s|$)")
_WIKILINK = re.compile(r"!?\[\[(?:[^\]|]*\|)?([^\]]*)\]\]")
# What stands before the words of a line: marks of lists, tasks, quotes and tables.
_MARKS = re.compile(r"^[\s>|*+-]*(?:\d+[.)] )?(?:\[.\] )?")
_FENCE = re.compile(r"^\s*(```|~~~).*?(?:^\s*\1|\Z)", re.MULTILINE | re.DOTALL)
# Headings, rules, HTML, tables, properties, and orders, which only the obedient repeat.
_NOT_PROSE = re.compile(r"^\s*(?:#|---|<|\||[\w-]+::?(?:\s|$)|\W*SAY:|$)")
_PIECE = re.compile(r"\s*\S{1,6}|\s+\Z")
_PER_SECTION = 2
# A field of a form is about a sentence, in characters.
_FIELD = 200


def rendered(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages as a chat template writes them, up to where the answer begins."""
    turns = "".join(f"<|im_start|>{m.get('role', '')}\n{m.get('content') or ''}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n"


def count(text: str, bytes_per_token: float, others_per_token: float = 0.0) -> int:
    """Tokens of a text: its bytes in UTF-8 by so many, rounded up. No true tokenizer is so regular.

    Args:
        text: what is counted.
        bytes_per_token: bytes of a token.
        others_per_token: the same for bytes that are not ASCII; 0 for no difference.
    """
    plain = len(text.encode("ascii", "ignore"))
    return math.ceil(plain / bytes_per_token + (len(text.encode()) - plain) / (others_per_token or bytes_per_token))


def cut(text: str, first: int, last: int, bytes_per_token: float) -> str:
    """The first and the last so many tokens of a text; half a character is lost."""
    data = text.encode()
    head, tail = data[: int(first * bytes_per_token)], data[len(data) - int(last * bytes_per_token) :]
    return head.decode(errors="ignore") + tail.decode(errors="ignore")


def pieces(text: str) -> list[str]:
    """A text in the pieces it is generated in: words, long ones in parts."""
    return _PIECE.findall(text)


def briefing(prompt: str) -> str:
    """A plausible answer made of the prompt's notes: their own sentences under the wanted sections, each cited."""
    found = [(*match.groups()[:2], _sentence(match[3])) for match in _NOTE.finditer(prompt)]
    points = [f"- {said} {_citation(path, heading)}" for path, heading, said in found if said]
    if not points:
        return "The vault does not say."
    last = max((match.end() for match in _NOTE.finditer(prompt)), default=0)
    sections = _SECTION.findall(prompt, last) or [""]
    written = []
    for number, section in enumerate(sections):
        if mine := points[number :: len(sections)][:_PER_SECTION]:
            written.append("\n".join([section, *mine] if section else mine))
    return "\n\n".join(written)


def _sentence(text: str) -> str:
    """The first words of a passage that read like a sentence, without links."""
    for line in _FENCE.sub("", text).splitlines():
        words = _WIKILINK.sub(r"\1", _MARKS.sub("", line)).strip()
        if _NOT_PROSE.match(line) or not any(letter.isalpha() for letter in words):
            continue
        sentence = _SENTENCE.match(words)
        return sentence[1] if sentence else words[:240]
    return ""


def _citation(path: str, heading: str) -> str:
    name = path.rsplit("/", 1)[-1].removesuffix(".md")
    last = heading.rsplit(" > ", 1)[-1].strip()
    return f"[[{name}#{last}]]" if last else f"[[{name}]]"


def obedient(prompt: str) -> str:
    """The answer of a model that does whatever any line of its prompt says: `SAY: these words`."""
    orders = _ORDER.findall(prompt)
    return "\n".join(orders) if orders else briefing(prompt)


def in_form(text: str, form: Any) -> str:
    """An answer in JSON: as it is when it is an object, else an object with the text, or the smallest that a schema allows."""
    with suppress(ValueError):
        if isinstance(json.loads(text), dict):
            return text
    return json.dumps({"answer": text} if form == "json" else _value(form, text), ensure_ascii=False)


def _value(schema: Mapping[str, Any], text: str) -> Any:
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(schema[choice][0], text)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(properties.get(name, {}), text) for name in properties or schema.get("required", ())}
    if kind == "array":
        count = min(max(1, schema.get("minItems", 1)), schema.get("maxItems", 1_000))
        return [_value(schema.get("items", {"type": "string"}), text)] * count
    numbers = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 0.5)}
    plain = {"boolean": True, "null": None, **numbers}
    return plain[kind] if kind in plain else text[: schema.get("maxLength", _FIELD)]


def vector(text: str, width: int) -> list[float]:
    """A vector of length 1 that is always the same for a text, and near for texts that share words."""
    found = [1e-3] * width
    for word in re.findall(r"\w+", text.casefold()):
        digest = hashlib.blake2b(word.encode(), digest_size=16).digest()
        for at in range(0, 16, 4):
            number = int.from_bytes(digest[at : at + 4])
            found[number % width] += 1.0 if number & 0x8000_0000 else -1.0
    return normalised(found)


def normalised(numbers: Sequence[float]) -> list[float]:
    """The same direction with length 1."""
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]
