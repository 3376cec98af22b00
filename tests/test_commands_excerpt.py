"""Excerpts: the lines that fit a question, what they need to be understood, and that none stands where it is not."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.excerpt import Excerpt, Question, excerpt
from commands.survey import heading_at
from context.note import Note, parse
from context.passage import cut

BLOCKS = (
    "Prose on plums and pears.\n",
    "A long line on plums that says much. It goes on with pears, and on. " * 6 + "\n",
    "plums" * 90 + "\n",
    "# Plums\n",
    "## Pears\n",
    "### Of old\n",
    "Set out\n=======\n",
    "Set lower\n---\n",
    "- plums ^id\n  - pears in a box\n    and what hangs below\n- figs\n",
    "1. figs\n\n   of the south\n2. plums\n",
    "Figs:\n- one\n- two\n",
    "| fruit | price |\n|---|---:|\n" + "".join(f"| fig {n} | {n} |\n" for n in range(9)) + "| pears | 70 |\n",
    "> [!note] Figs\n> sweet\n> - plums\n>\n> | a | b |\n> |---|---|\n> | pears | 1 |\n",
    "> pears, said somebody. " * 12 + "\n",
    "```sh\n# plums\nls figs\n```\n",
    "> ```\n> pears\n> ```\n",
    "```dataview\nLIST FROM #plums\n```\n",
    "%% a comment\n## Not shown, plums\n%%\n",
    "[[Plums and pears of the old garden|plums]] " * 9 + "\n",
    "梅干しと塩を買う。味噌は冷蔵庫にある。" * 12 + "\n",
    "***\n",
)
FRONTS = ("", "---\nfruit: plums\nkinds:\n  - pears\n- figs\n---\n")


def of(text: str, question: str, name: str = "") -> tuple[list[str], str]:
    """The excerpt of a note taken as one passage, and the heading it stands under."""
    text = dedent(text)
    note = parse_note(text)
    found = taken(note, text, 0, len(text), question, name)
    assert found is not None
    return list(found.lines), heading_at(note, found.start)


def parse_note(text: str) -> Note:
    return parse("N.md", text.encode())


def taken(note: Note, text: str, start: int, end: int, question: str, name: str = "") -> Excerpt | None:
    return excerpt(
        text[start:end],
        Question.of(question),
        body=max(0, note.body - start),
        headings=[(one.start - start, one.level) for one in note.headings],
        name=name,
    )


@given(
    st.sampled_from(FRONTS),
    st.lists(st.sampled_from([*BLOCKS, "\n"]), min_size=1, max_size=14),
    st.sampled_from(["", "plums", "the pears of old", "figs and pears", "味噌", "hangs", "gardens"]),
    st.sampled_from([2000, 60]),
)
def test_each_line_is_one_of_the_note_and_stands_under_the_heading(
    front: str, blocks: list[str], question: str, limit: int
) -> None:
    text = front + "".join(blocks)
    note = parse_note(text)
    for piece in cut(note, text, limit=limit, properties=True):
        found = taken(note, text, piece.start, piece.end, question)
        if found is None:
            continue
        start = piece.start + found.start
        above = [one for one in note.headings if one.start <= start]
        begin = above[-1].start if above else 0
        level = above[-1].level if above else 0
        end = next((one.start for one in note.headings if one.start > start and one.level <= level), len(text))
        said = [line.replace("…", "").strip("> \t") for line in found.lines]
        said = [line for line in said if line.strip("| ")]
        assert said
        for line in said:
            assert line in text[begin:end]
        assert len(said) <= 8
        assert sum(len(line) for line in said if line.strip("|-: ")) <= 330
        assert "dataview" not in str(found.lines) or limit == 60


def test_a_fact_far_down_is_quoted() -> None:
    text = "".join(f"Thing {n}: something that fills a line well enough, number {n}.\n" for n in range(20))
    lines, _ = of(text + "Warranty ends on 2027-03-31.\nAnd so on.\n", "When does the warranty end?")
    assert "Warranty ends on 2027-03-31." in lines
    assert lines[0].startswith("… Thing ")
    assert len(lines) <= 6


def test_a_row_stands_under_the_header_of_its_table() -> None:
    rows = "".join(f"| company {n} | paid for a long and weary time, {n} | 2026-01-{n:02} |\n" for n in range(1, 20))
    lines, _ = of(f"| who | what | renews |\n|---|---|---|\n{rows}", "When does company 17 renew?")
    assert lines[:3] == ["| who | what | renews |", "|---|---|---|", "| … |"]
    assert any(line.startswith("| company 17 |") for line in lines)
    lines, _ = of(f"| who | what | renews |\n|---|---|---|\n{rows}", "company")
    assert lines[2].startswith("| company 1 |")
    assert lines[-1].endswith("| …")


def test_an_item_has_those_it_hangs_below_and_a_callout_its_title() -> None:
    fill = "".join(f"  - item {n} that nobody has asked for in any way at all\n" for n in range(12))
    lines, _ = of(f"- Kitchen\n{fill}  - kettle, blue\n    with a long cord\n- Bath\n", "kettle")
    assert lines[0] == "- Kitchen …"
    assert "  - kettle, blue" in lines
    assert "    with a long cord" in lines
    fill = "".join(f"> line {n} that nobody has asked for in any way at all\n" for n in range(12))
    lines, _ = of(f"> [!danger] Degraded\n{fill}> The new disk comes on Tuesday.\n", "When does the disk come?")
    assert lines[0] == "> [!danger] Degraded …"
    assert "> The new disk comes on Tuesday." in lines


def test_what_a_colon_announces_is_quoted_with_it() -> None:
    fill = "".join(f"Words {n} that nobody has asked for in any way at all.\n" for n in range(12))
    text = f"{fill}\nReboot script:\n```sh\nssh admin@router\n# then\nreboot now\n```\n\n{fill}"
    lines, _ = of(text, "What is the reboot script?")
    assert lines[:5] == ["… Reboot script:", "", "    ssh admin@router", "    # then", "    reboot now"]


def test_a_little_more_is_quoted_where_what_was_found_needs_it() -> None:
    text = "The kettle.\n" + "Words.\n" * 4 + "The toaster:\n- it is red\n- and old\n"
    assert of(text, "kettle and toaster")[0][-2:] == ["The toaster:", "- it is red …"]
    assert of(text, "kettle")[0][-1] == "Words. …", "what only opens what is left out is none"


def test_of_a_long_line_the_sentence_that_is_asked_for() -> None:
    text = "Much was written of other things here, and of nothing else in particular. " * 8
    lines, _ = of(f"- {text}The passport is C01X00T47, in the drawer. {text}", "number of my passport")
    assert len(lines) == 1
    assert lines[0].startswith("… ")
    assert lines[0].endswith(" …")
    assert "The passport is C01X00T47, in the drawer." in lines[0]
    text = "今日は雨が降っていて、特に何も起こらなかったので、家で本を読んでいた。" * 10
    lines, _ = of(f"{text}味噌は冷蔵庫の奥にある。{text}", "味噌はどこ")
    assert "味噌は冷蔵庫の奥にある。" in lines[0]


def test_the_heading_that_fits() -> None:
    text = """
        # Home
        ## Due soon
        - one thing
        ## Ports
        - four
        ### Of the back
        - two more
        ## Rest
        - nothing
        """
    assert of(text, "Which ports are there?") == (["- four", "", "### Of the back", "", "- two more"], "Home > Ports")
    assert of(text, "rests") == (["- nothing"], "Home > Rest")
    assert of(text, "nobody") == (["- one thing"], "Home > Due soon")


def test_a_passage_below_a_heading_ends_with_it() -> None:
    text = "# A\n## B\none\n\ntwo\n## C\nthree\n"
    note = parse_note(text)
    start = text.index("two")
    assert taken(note, text, start, len(text), "nothing") == Excerpt(0, ("two",))
    found = taken(note, text, start, len(text), "three")
    assert found is not None
    assert heading_at(note, start + found.start) == "A > C"


def test_nothing_asked_or_found_is_the_beginning() -> None:
    text = "".join(f"- pear {n}\n" for n in range(9))
    beginning = [*(f"- pear {n}" for n in range(5)), "- pear 5 …"]
    for question in ("", "the of", "figs"):
        assert of(text, question) == (beginning, "")
    twice = "".join(f"- one fig of {n}\n\n{text}\n" for n in ("Italy", "France"))
    assert of(twice, "figs")[0][0] == "- one fig of Italy", "a tie goes to the line that is earlier"


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        ("Who is the teacher?", ["teacher: Mr Brandt", "…"]),
        ("Which books?", ["books:", "  - Czerny", "  - Bach", "…"]),
        ("Where is Czerny?", ["books:", "  - Czerny", "…"]),
        ("Lessons of piano", ["We begin anew after the holidays. Bring lessons."]),
        ("piano", ["We begin anew after the holidays. Bring lessons."]),
    ],
)
def test_a_property_that_fits_better_than_the_text(question: str, lines: list[str]) -> None:
    front = "---\nteacher: Mr Brandt\nday: Thursday\nbooks:\n  - Czerny\n  - Bach\ntitle: Piano\n---\n"
    text = front + "We begin anew after the holidays. Bring lessons.\n"
    assert of(text, question, "Piano")[0] == lines
    if "teacher" in question:
        assert of(front, question, "Piano")[0] == lines


def test_properties_alone() -> None:
    text = "---\n" + "".join(f"name{n}: {n}\n" for n in range(9)) + "---\n"
    assert of(text, "what else")[0] == [*(f"name{n}: {n}" for n in range(6)), "…"]
    assert excerpt("", Question.of("x")) is None
