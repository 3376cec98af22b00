"""What `kos context` shows: the passages that fit, best first, and what became of the others."""

import re
from collections.abc import Mapping
from typing import Any

from server.screen import Screen

# Properties, headings and blank lines: all there is of a passage that says nothing beyond its heading.
_BARE = re.compile(r"(?:---[ \t]*\n(?:[^\n]*\n)*?---[ \t]*(?=\n|\Z))?(?:\s*#{1,6}(?:[ \t][^\n]*|(?=\n|\Z)))*\s*")


def show(screen: Screen, found: Mapping[str, Any]) -> None:
    """Show it to a person. A passage of headings or properties alone is one line: its note is what fits."""
    # A model gets what rarely changes first; a person wants what fits best.
    for passage in sorted(found["passages"], key=lambda one: one["rank"]):
        place = " > ".join(filter(None, (passage["path"], passage["heading"])))
        via = f", via {passage['via']}" if passage["via"] else ""
        private = " (private)" if passage.get("private") else ""
        screen.heading(f"--- {place}{private} ({passage['tokens']} tokens: {passage['why']}{via})")
        if not _BARE.fullmatch(passage["text"].replace("\r\n", "\n")):
            screen.write(passage["text"].rstrip("\n") + "\n\n")
    cut = f", {len(found['cut'])} left out for want of room" if found["cut"] else ""
    tokens = f"{found['tokens']} of {found['budget_tokens']} tokens"
    screen.notice(f"{len(found['passages'])} passages, {tokens}{cut}")
    for finding in found.get("findings", ()):
        screen.notice(finding["message"], finding["hint"])
