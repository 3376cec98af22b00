"""What may stand on the command line: the commands, their options, and what becomes of them in a request."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from server.options import OPTIONS

# Commands that answer from the vault, each with one line of help. What they do stands in prompts/*.md.
ASKING = {
    "orient": "brief me: the last days, active projects, what is due or blocked, my systems",
    "update": "keep your words in the note of the day, and say what they touch, finish and make possible",
    "plan": "reflect on the period and draft a plan that respects what unlocks what",
    "research": "a cited research note on a topic, from the vault",
    "validate": "check the health of the vault, and analyse what is found",
    "ask": "a cited answer to a question, from the vault",
}
NEEDS_TEXT = ("update", "research", "ask")
TIERS = ("fast", "balanced", "deep")
MODES = ("NORMAL", "GAMING")
# The limits of a request over HTTP (server.body) hold here too, so that both ways take the same.
TEXT_CHARS = 200_000
NAME_CHARS = 1024
LEAST_BUDGET, MOST_BUDGET = 200, 200_000
MOST_ITEMS = 32
MOST_QUESTIONS, MOST_SEED = 10_000, 999_999_999
MOST_DECISIONS = 1000

_SERVING = ("host", "port", "uds")
_CONDITION = re.compile(r"([^=!<>~]+)(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_OPERATOR = {"=": "eq", "!=": "ne", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "~": "contains"}
# More digits than a float holds exactly are a name, not a number.
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")

_EPILOG = """\
exit codes: 0 answered, 1 failed, 2 usage or configuration, 3 no node reachable, 4 model missing or too large for the
memory budget, 130 interrupted. With no node reachable the commands still answer from the vault alone, and say so.
"""


class UsageError(Exception):
    """What stands on the command line cannot be used; the message says why, the hint what to do."""

    code = "invalid"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Parser(argparse.ArgumentParser):
    """A parser that raises what is wrong instead of printing it."""

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument COMMAND: invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            from difflib import get_close_matches  # noqa: PLC0415 - only for those who misspelt

            names = re.findall(r"[a-z-]+", wrong[2])
            near = get_close_matches(wrong[1], names, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Commands are {', '.join(names)}."
            raise UsageError(f"there is no command {wrong[1]!r}", hint)
        raise UsageError(" ".join(message.split()), f"`{self.prog} --help` says what is allowed.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, read.

    Returns:
        `command` ("" when none is named), the options of that command, and those options of the configuration that
        were given, each under its name in `server.options`.

    Raises:
        UsageError: it cannot be read.
        SystemExit: help was asked for, and has been printed.
    """
    found, left = parser().parse_known_args(arguments)
    # Words after an option belong to the text as well: `kos ask --json what is due`.
    if left and ("text" not in found or any(word.startswith("-") for word in left)):
        raise UsageError(
            f"unrecognized arguments: {' '.join(left)!r}",
            f"`{' '.join(filter(None, ('kos', found.command)))} --help` says what is allowed.",
        )
    if left:
        found.text += left
    return found


def flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the configuration that were given."""
    return {option.name: getattr(arguments, option.name) for option in OPTIONS if option.name in arguments}


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = _Parser(
        prog="kos",
        description="Answers from your Obsidian vault, with your own models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    top.set_defaults(command="")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        told = text[0].upper() + text[1:] + "."
        return commands.add_parser(name, help=text, description=told, allow_abbrev=False)

    for name, text in ASKING.items():
        _add_asking(name, add(name, text))
    _add_context(add("context", "the passages of the vault that fit a question, verbatim, without a model"))
    maps = add("map", "list the maps of content, or show what one gathers and how each member was found")
    maps.add_argument("text", nargs="*", metavar="NAME", help="a map: its path or name, as a link has it")
    _add_json(maps, "print what HTTP answers as one JSON object; a failure too")
    _add_edits(add("edits", "list the edits of notes, show one, or apply one"))
    undo = add("undo", "take an applied edit back: the last one, or the one with this id")
    undo.add_argument("id", nargs="?", metavar="ID", help="id of the edit, as `kos edits` lists it, or how it begins")
    _add_yes(undo)
    _add_json(undo, "print the edit as one JSON object; a failure too")
    _add_plugin(add("plugin", "install the plugin for Obsidian into the vault"))
    serve = add("serve", "answer over HTTP until it is told to stop")
    _add_json(serve, "print one line with url, token_file and pid when ready")
    token = add("token", "print the token that clients of the service show; made when there is none")
    token.add_argument("--path", action="store_true", help="print where it is kept instead")
    doctor = add("doctor", "look at everything that is needed, and say what is wrong and how to mend it")
    _add_json(doctor, "print what was found as one JSON object")
    memory = add(
        "plan-memory", "what each model takes of its node's memory, what fits together, and what would fit instead"
    )
    _add_json(memory, "print the plan as one JSON object, sizes in bytes")
    _add_decisions(
        add("decisions", "the latest choices of node and model, with their reasons; or make all of them again")
    )
    mode = add("mode", "which nodes are there for models; GAMING keeps work away and takes models out of memory")
    words = "set it, of one node or all; without it modes are only told"
    mode.add_argument("mode", nargs="?", type=str.upper, choices=MODES, metavar="|".join(MODES), help=words)
    mode.add_argument("--node", type=_name, metavar="NAME", help="this node (default: all whose mode is set here)")
    _add_json(mode, "print what HTTP answers as one JSON object; a failure too")
    _add_eval(add("eval", "how well contexts of this vault hold what they should, by questions it asks of itself"))
    config = add("config", "print the options in force, and where each comes from")
    _add_json(config, "print them as one JSON object")
    init = add("init", "write a configuration file that explains every option and sets those given here")
    init.add_argument("--force", action="store_true", help="overwrite the file that is there")
    _add_configuration(top)
    for name, one in commands.choices.items():
        _add_configuration(one, serving=name in ("serve", "config", "init"))
    return top


def _add_configuration(to: argparse.ArgumentParser, *, serving: bool = False) -> None:
    """The options of the configuration that have a flag. They may stand before the command as well as after it."""
    group = to.add_argument_group("configuration")
    for option in OPTIONS:
        if option.flag and (serving or option.name not in _SERVING):
            # The whole explanation stands in the configuration file; here its first sentence will do.
            text = option.help[0].lower() + option.help[1:].split(". ", 1)[0].rstrip(".")
            also = f" (environment: {option.env})" if option.env else ""
            metavar = {"vault": "PATH", "state_dir": "PATH", "uds": "PATH", "ollama_url": "URL"}.get(
                option.name, option.name.upper()
            )
            group.add_argument(
                option.flag,
                dest=option.name,
                metavar=metavar,
                default=argparse.SUPPRESS,
                help=f"{text}{also}".replace("%", "%%"),
            )
    group.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration file (environment: KOS_CONFIG)",
    )


def _add_asking(name: str, to: argparse.ArgumentParser) -> None:
    words = "what to say; - reads it from standard input"
    to.add_argument(
        "text", nargs="*", metavar="TEXT", help=words if name in NEEDS_TEXT else f"{words}; may be left out"
    )
    _add_scope(to)
    model = to.add_argument_group("model")
    model.add_argument("--tier", choices=TIERS, help="the class of work to take it for")
    model.add_argument("--model", type=_name, metavar="NAME", help="this model, or runner of the profile")
    model.add_argument("--node", type=_name, metavar="NAME", help="this node of the profile")
    output = to.add_argument_group("output")
    output.add_argument("--dry-run", action="store_true", help="do everything but generate; show what would be used")
    _add_json(output, "print the whole answer as one JSON object; a failure too")
    output.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="print the answer as it comes, or when it is whole (default: as it comes, on a terminal)",
    )


def _add_context(to: argparse.ArgumentParser) -> None:
    to.add_argument("text", nargs="*", metavar="QUESTION", help="what to look for; - reads it from standard input")
    _add_scope(to)
    to.add_argument(
        "--gather",
        type=_gather,
        metavar="WAY[=PERCENT],…",
        help="ways of gathering, and the part of the budget each gets: search,maps or search=75,maps=25",
    )
    _add_json(to, "print passages, what was cut, and the receipt as one JSON object")


def _add_eval(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--questions",
        type=_whole_number(1, MOST_QUESTIONS),
        metavar="N",
        default=100,
        help="so many of each kind at most (default: 100)",
    )
    to.add_argument(
        "--seed",
        type=_whole_number(0, MOST_SEED),
        metavar="N",
        default=0,
        help="which of all questions are asked (default: 0)",
    )
    to.add_argument("--rows", action="store_true", help="also tell, of each question, its notes and who found them")
    _add_json(to, "print the figures as one JSON object; a failure too")


def _add_decisions(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--limit",
        type=_whole_number(1, MOST_DECISIONS),
        metavar="N",
        default=20,
        help="so many at most, newest first (default: 20)",
    )
    to.add_argument(
        "--replay", action="store_true", help="make every decision that is kept again and compare; 1 if one differs"
    )
    _add_json(to, "print them, newest first too, with their inputs, as one JSON object; a failure too")


def _add_edits(to: argparse.ArgumentParser) -> None:
    words = "the id of an edit, or how it begins, shows it; `apply` and an id write it; neither lists all"
    to.add_argument("text", nargs="*", metavar="[apply] ID", help=words)
    to.add_argument(
        "--hunk", action="append", type=_hunk, metavar="N.M", help="apply only this hunk of the edit; repeatable"
    )
    to.add_argument("--confirm", action="store_true", help="apply it though it removes most of a note or touches many")
    _add_yes(to)
    _add_json(to, "print the edits, or the edit, as one JSON object; a failure too")


def _add_plugin(to: argparse.ArgumentParser) -> None:
    to.add_argument("action", choices=("install",), metavar="install", help="copy the plugin into the vault's settings")
    to.add_argument(
        "--from",
        dest="source",
        metavar="FOLDER|ZIP",
        help="take main.js, manifest.json and styles.css from there (default: the ones that came with this program)",
    )
    _add_yes(to)
    _add_json(to, "print what was installed, and where, as one JSON object; a failure too")


def _add_yes(to: argparse.ArgumentParser) -> None:
    to.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")


def _add_json(to: "argparse.ArgumentParser | argparse._ArgumentGroup", text: str) -> None:
    to.add_argument("--json", action="store_true", help=text)


def _add_scope(to: argparse.ArgumentParser) -> None:
    notes = to.add_argument_group("notes")
    notes.add_argument(
        "--budget", type=_whole_number(LEAST_BUDGET, MOST_BUDGET), metavar="TOKENS", help="tokens of notes at most"
    )
    notes.add_argument("--note", type=_name, metavar="NOTE", help="the note you have open: its name, or its path")
    notes.add_argument("--project", type=_name, metavar="NOTE", help="only this note and what is linked with it")
    notes.add_argument("--folder", type=_name, metavar="PATH", help="only notes below this folder of the vault")
    notes.add_argument("--tag", type=_name, metavar="TAG", action="append", help="only notes with this tag; repeatable")
    notes.add_argument("--since", type=_day, metavar="DATE", help="only notes dated on or after this day")
    notes.add_argument(
        "--where",
        type=_condition,
        metavar="KEY=VALUE",
        action="append",
        help="only notes with such a property; also != < <= > >= and ~ (contains); repeatable",
    )
    notes.add_argument("--fresh", action="store_true", help="make everything anew, whatever the cache holds")


def _name(text: str) -> str:
    if not text.strip() or len(text) > NAME_CHARS or not _is_text(text):
        raise argparse.ArgumentTypeError(f"must be text of 1 to {NAME_CHARS} characters")
    return text


def _is_text(text: str) -> bool:
    """Whether it is free of NUL and of bytes outside of the encoding, which Python hands on as half surrogate pairs."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    """Reads a number between bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _hunk(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("must be the id of a hunk such as 1.1; `kos edits ID` lists them")
    return text


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("must be an ISO date such as 2025-09-01") from None


def _condition(text: str) -> tuple[str, str, Any]:
    match = _CONDITION.fullmatch(text)
    if match is None or not match[1].strip() or not _is_text(text) or len(text) > NAME_CHARS:
        raise argparse.ArgumentTypeError("must be a property, a comparison and a value, such as status=active")
    return match[1].strip(), _OPERATOR[match[2]], _value(match[3].strip())


def _value(text: str) -> str | int | float | bool:
    """Numbers and true or false as properties have them; quotes keep a text that looks like one."""
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _gather(text: str) -> list[str] | dict[str, float]:
    pairs = [part.strip().partition("=") for part in text.split(",")]
    names = [name for name, _, _ in pairs]
    shares = [share for _, _, share in pairs if _NUMBER.fullmatch(share) and 0 < float(share) <= 100]
    if (
        not _is_text(text)
        or not all(0 < len(name) <= 64 for name in names)
        or not len(set(names)) == len(names) <= MOST_ITEMS
    ):
        raise argparse.ArgumentTypeError("must name ways of gathering, such as search,maps")
    if not any(equals for _, equals, _ in pairs):
        return names
    if len(shares) != len(names):
        raise argparse.ArgumentTypeError(
            "must give every way a percent above 0 and at most 100, such as search=75,maps=25"
        )
    return dict(zip(names, map(float, shares), strict=True))


def to_be_asked(arguments: argparse.Namespace) -> bool:
    """Whether a command asks before it writes: it does unless it was told --yes.

    Raises:
        UsageError: it does, and nobody is there.
    """
    there = sys.stdin and sys.stdin.isatty() and sys.stderr.isatty() and not arguments.json
    if not arguments.yes and not there:
        name = "edits apply" if arguments.command == "edits" else arguments.command
        asks = f"{name} asks before it writes"
        raise UsageError(f"{asks}, and here is nobody to ask", "Say --yes if it is meant.")
    return not arguments.yes


def request(arguments: argparse.Namespace, vault: Path) -> dict[str, Any]:
    """The fields of the request, those left out that were not given.

    Args:
        arguments: of a command that asks, or of `context`.
        vault: its folder, to tell the open note by.

    Raises:
        UsageError: the text is missing, too long, or no text.
    """
    wanted: dict[str, Any] = {
        "text": _text(arguments),
        "note": _open_note(arguments.note, vault),
        "scope": _scope(arguments),
        "budget_tokens": arguments.budget,
        "fresh": arguments.fresh,
    }
    wanted |= {
        name: getattr(arguments, name) for name in ("tier", "model", "node", "dry_run", "gather") if name in arguments
    }
    return {name: value for name, value in wanted.items() if value}


def _text(arguments: argparse.Namespace) -> str:
    words: list[str] = arguments.text
    piped = not words and arguments.command in NEEDS_TEXT and sys.stdin is not None and not sys.stdin.isatty()
    if words == ["-"] or piped:
        text = _standard_input()
    else:
        text = " ".join(words).strip()
        if not _is_text(text):
            raise UsageError(
                "the text is not UTF-8", "Set the encoding of the terminal, or send it as a file: kos … - < FILE"
            )
    if len(text) > TEXT_CHARS:
        raise UsageError(f"the text has {len(text)} characters; {TEXT_CHARS} are allowed", "Shorten it.")
    if not text and arguments.command in NEEDS_TEXT:
        name = arguments.command
        raise UsageError(
            f"{name} needs a text", f"Give it after the command (kos {name} …), or - to read it from standard input."
        )
    return text


def _standard_input() -> str:
    hint = "Only text in UTF-8 can be said: kos … - < FILE"
    if sys.stdin is None:
        raise UsageError("there is no standard input", hint)
    # A character takes at most four bytes; one more shows that the text is too long.
    data = sys.stdin.buffer.read(4 * TEXT_CHARS + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("standard input is not text in UTF-8", hint) from None
    if "\0" in text:
        raise UsageError("standard input is not text: it holds NUL characters", hint)
    return text.strip()


def _open_note(note: str | None, vault: Path) -> str | None:
    """The note as the vault has it: a path to a file of it is taken from its folder; a name is left to the vault."""
    if note is None:
        return None
    try:
        file = Path(note).expanduser().resolve()
        return file.relative_to(vault.resolve()).as_posix() if file.is_file() else note
    except (OSError, ValueError, RuntimeError):
        return note


def _scope(arguments: argparse.Namespace) -> dict[str, Any]:
    where: dict[str, dict[str, Any]] = {}
    for name, operator, value in arguments.where or ():
        tests = where.setdefault(name, {})
        if operator in tests:
            raise UsageError(
                f"--where compares {name!r} twice in the same way", "Each comparison of a property stands once."
            )
        tests[operator] = value
    if max(len(where), len(arguments.tag or ())) > MOST_ITEMS:
        raise UsageError(f"more than {MOST_ITEMS} conditions", "Narrow the notes with fewer.")
    found = {
        "project": arguments.project,
        "folder": arguments.folder,
        "tags": arguments.tag,
        "since": arguments.since,
        "where": where,
    }
    return {name: value for name, value in found.items() if value}
