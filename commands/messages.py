"""The messages sent to a model: preamble, notes and facts between marks, then instructions and the person's words."""

import re
from collections.abc import Sequence

from commands.order import days_begin
from commands.request import Asked
from context.assemble import Counter, Passage
from context.calendar import WEEKDAYS
from context.snapshot import Snapshot
from inference.node import Message

# What a chat template adds around two messages, in tokens; generous for every template known.
TEMPLATE_TOKENS = 64
# The marks between which notes and other texts stand in the prompt; none may begin or end inside of one.
_MARK = re.compile(r"<(?=\s*/?\s*(?:note|selection|facts)\b)", re.IGNORECASE)
# Both put a character of one byte in the place of another, so that a text is never longer than it was counted.
_QUOTED = str.maketrans('"<\r\n', "'(  ")


def messages(
    preamble: str, instructions: str, facts: str, snapshot: Snapshot, passages: Sequence[Passage] = ()
) -> tuple[Message, ...]:
    """The shared preamble, the passages in their stable order, instructions and question last (KV prefix reuse).

    The facts stand before the days: they change less often than these.

    Args:
        preamble: what all commands tell a model.
        instructions: what this one tells it (see `instructions`).
        facts: what the vault says of now; "" for nothing.
        snapshot: the vault.
        passages: in the order of `commands.order`.
    """
    days = days_begin(passages, snapshot)
    notes = [_fenced(passage.path, passage.heading, passage.text) for passage in passages]
    told = f"<facts>\n{_defused(facts)}\n</facts>" if facts else ""
    data = "\n".join(filter(None, (*notes[:days], told, *notes[days:])))
    return (
        Message("system", preamble),
        Message("user", f"{data}\n\n{instructions}" if data else instructions),
    )


def instructions(asked: Asked, language: str) -> str:
    """What the model is told to do, with the person's words.

    Args:
        asked: what they ask.
        language: that of the answer; "" for that of their words.
    """
    request, earlier, today = asked.request, asked.earlier, asked.calendar.today
    blanks = {
        "today": today.isoformat(),
        "weekday": WEEKDAYS[today.weekday()],
        "text": f"The person says:\n{request.text.strip()}" if request.text.strip() else "",
        "selection": f"They have selected this text:\n<selection>\n{_defused(request.selection)}\n</selection>"
        if request.selection
        else "",
        "facts": "the facts above",
        "earlier": f"Earlier they asked:\n{earlier.question}\nand were answered:\n{earlier.answer}" if earlier else "",
        "language": f"Answer in {language}."
        if language
        else "Answer in the language of the person's words, else of the notes.",
    }
    return "\n".join(_paragraphs(asked.prompt.render(blanks)))


def tokens_of(prompt: Sequence[Message], counter: Counter) -> int:
    """The tokens of messages with what a chat template adds."""
    return sum(counter.count(message.content) for message in prompt) + TEMPLATE_TOKENS


def with_fence(counter: Counter) -> Counter:
    """The counter of passages that counts the marks around each as well: their sum is then what the prompt grows by."""
    marks = counter.count(_fenced("", "", "") + "\n\n")
    return Counter(f"{counter.id}+{marks}", lambda text: counter.count(text) + marks)


def _paragraphs(text: str) -> list[str]:
    """The lines of a text with runs of blank lines, left by empty blanks, made one."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1].strip()):
            lines.append(line)
    return lines


def _fenced(path: str, heading: str, text: str) -> str:
    """A passage between marks that its own text cannot close."""
    return f'<note path="{_quoted(path)}" heading="{_quoted(heading)}">\n{_defused(text)}\n</note>'


def _quoted(text: str) -> str:
    return text.translate(_QUOTED)


def _defused(text: str) -> str:
    return _MARK.sub("(", text)
