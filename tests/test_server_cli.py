"""The command line as people use it: processes, pipes, terminals, signals, and a real service."""

import argparse
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from commands.house import shipped_prompts
from prompts import SHIPPED
from server import body, parser
from server.options import OPTIONS, template
from server.parser import UsageError
from server.version import version
from tests import edge
from tests.kos import PATIENCE, PROGRAM, ROOT, Person, files_of, line_of, until
from tests.ollama_api import Double
from tests.ollama_double import double_in_thread
from tests.vaults import write

HEAVY = ("fastapi", "starlette", "networkx", "redis", "httpx", "markdown_it", "yaml", "platformdirs")
ANSWER = "The chamber holds 30 °C. [[Fermentation Chamber#Scope]]"


@pytest.fixture(scope="module")
def ollama() -> Iterator[Double]:
    with double_in_thread() as found:
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A person without any model."""
    return Person(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def with_model(tmp_path_factory: pytest.TempPathFactory, ollama: Double) -> Person:
    """A person with Ollama, without a service."""
    return Person(tmp_path_factory.mktemp("with-model"), ollama=ollama.url)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, with_model: Person, ollama: Double) -> Iterator[Person]:
    """The same vault and Ollama, with a service."""
    person = Person(tmp_path_factory.mktemp("served"), with_model.vault, ollama.url)
    with person.serving():
        yield person


@pytest.fixture
def small(tmp_path: Path) -> Person:
    """A person with two notes and no model."""
    vault = write(tmp_path / "vault", {"One.md": "# One\n\nThe kettle is blue.\n", ".obsidian/app.json": "{}"})
    return Person(tmp_path, vault)


# --- how light it is


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["orient", "--help"], ["serve", "--help"], ["plugin", "--help"]]
)
def test_help_and_version_import_nothing_heavy(words: list[str]) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from server.cli import main
try:
    code = main({words!r})
except SystemExit as end:
    code = end.code
print([name for name in {HEAVY!r} if name in sys.modules], code)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[] 0"
    assert ran.stderr == ""


def test_the_version_is_that_of_the_project(small: Person) -> None:
    ran = small.run("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"kos {version()}\n", "")
    assert f'version = "{version()}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert small.run("--vault", "x", "--version").out == ran.out


# --- what may stand there


def test_the_commands_are_those_that_are_shipped() -> None:
    assert sorted(parser.ASKING) == sorted(SHIPPED)
    needing = [name for name, prompt in shipped_prompts().items() if prompt.text == "required"]
    assert sorted(parser.NEEDS_TEXT) == sorted(needing)


def test_the_limits_are_those_of_http() -> None:
    fields = body.CommandBody.model_fields
    assert (body.TEXT_CHARS, body.NAME_CHARS, body.MOST_ITEMS) == (
        parser.TEXT_CHARS,
        parser.NAME_CHARS,
        parser.MOST_ITEMS,
    )
    assert get_args(get_args(fields["tier"].annotation)[0]) == parser.TIERS
    for within in (parser.LEAST_BUDGET, parser.MOST_BUDGET):
        assert body.CommandBody(budget_tokens=within)
    for beyond in (parser.LEAST_BUDGET - 1, parser.MOST_BUDGET + 1):
        with pytest.raises(ValueError, match="budget_tokens"):
            body.CommandBody(budget_tokens=beyond)


def wanted(*words: str) -> dict[str, Any]:
    return parser.request(parser.parse(words), Path("/vault"))


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["orient"], {}),
        (["orient", "what", "now"], {"text": "what now"}),
        (["ask", "--json", "what", "is", "due"], {"text": "what is due"}),
        (["ask", "what", "--json", "is", "due"], {"text": "what is due"}),
        (["ask", "--", "--json?"], {"text": "--json?"}),
        (["--vault", "/vault", "ask", "x", "--tier", "deep", "--fresh"], {"text": "x", "tier": "deep", "fresh": True}),
        (
            ["ask", "x", "--dry-run", "--model", "m", "--node", "n"],
            {"text": "x", "dry_run": True, "model": "m", "node": "n"},
        ),
        (["orient", "--budget", "2000"], {"budget_tokens": 2000}),
        (
            ["orient", "--project", "P", "--folder", "F/G", "--tag", "a", "--tag", "b", "--since", "2025-09-01"],
            {"scope": {"project": "P", "folder": "F/G", "tags": ["a", "b"], "since": "2025-09-01"}},
        ),
        (
            ["orient", "--where", "status=active", "--where", "due<=2025-09-30", "--where", "due>2025-09-01"],
            {"scope": {"where": {"status": {"eq": "active"}, "due": {"lte": "2025-09-30", "gt": "2025-09-01"}}}},
        ),
        (
            [
                "orient",
                "--where",
                "n=3",
                "--where",
                "r>=0.5",
                "--where",
                "b!=true",
                "--where",
                't="3"',
                "--where",
                "x~a=b",
            ],
            {
                "scope": {
                    "where": {
                        "n": {"eq": 3},
                        "r": {"gte": 0.5},
                        "b": {"ne": True},
                        "t": {"eq": "3"},
                        "x": {"contains": "a=b"},
                    }
                }
            },
        ),
        (["context", "x", "--gather", "search, maps"], {"text": "x", "gather": ["search", "maps"]}),
        (["context", "x", "--gather", "search=75,maps=2.5"], {"text": "x", "gather": {"search": 75, "maps": 2.5}}),
    ],
)
def test_options_become_the_fields_of_the_request(words: list[str], fields: dict[str, Any]) -> None:
    assert wanted(*words) == fields
    # The service reads them as they are.
    model: type[body.CommandBody | body.ContextBody] = body.ContextBody if words[0] == "context" else body.CommandBody
    read = body.fields(body.read(model, json.dumps(fields).encode()))
    assert {name: value for name, value in read.items() if value} == fields


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["orient", "--foo"],
        ["orient", "--foo", "bar"],
        ["orient", "--tier", "huge"],
        ["orient", "--bud", "2000"],
        ["orient", "--budget", "100"],
        ["orient", "--budget", "1e3"],
        ["orient", "--since", "yesterday"],
        ["orient", "--where", "status"],
        ["orient", "--where", "=x"],
        ["orient", "--where", "a=1", "--where", "a=2"],
        ["orient", "--note", ""],
        ["orient", "--note", "n" * 1025],
        ["orient", "--node", "\udcff"],
        ["orient", "\udcff"],
        ["orient", *["--tag", "t"] * 33],
        ["orient", "x" * 200_001],
        ["ask"],
        ["ask", "  "],
        ["context", "x", "--gather", "search=75,maps"],
        ["context", "x", "--gather", "search=0"],
        ["context", "x", "--gather", "search,search"],
        ["context", "x", "--gather", ""],
        ["token", "word"],
        ["serve", "--port"],
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(UsageError) as refused:
        wanted(*words)
    assert str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_a_note_may_be_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = write(tmp_path / "vault", {"Folder/Note.md": "", "Other.md": ""})
    write(tmp_path, {"Outside.md": ""})
    monkeypatch.chdir(vault / "Folder")

    def note(text: str) -> str:
        return str(parser.request(parser.parse(["orient", "--note", text]), vault)["note"])

    assert note("Note.md") == note(str(vault / "Folder" / "Note.md")) == note("../Folder/Note.md") == "Folder/Note.md"
    assert note("Other") == "Other"
    assert note("Folder/Note.md") == "Folder/Note.md"
    assert note("../../Outside.md") == "../../Outside.md"


# --- answers


def test_without_a_model_the_vault_alone_answers(alone: Person) -> None:
    before = files_of(alone.vault)
    ran = alone.run("orient")
    assert ran.code == 0
    assert "## Active projects\n" in ran.out
    assert "[[Fermentation Chamber" in ran.out
    assert "\x1b" not in ran.out + ran.err
    assert ran.err.startswith("kos: answered from the vault alone: ")
    assert alone.env["KOS_OLLAMA_URL"] in ran.err
    assert "`ollama serve`" in ran.err
    as_object = alone.run("orient", "--json")
    assert as_object.err == ""
    assert as_object.json["degraded"] == ["model"]
    assert as_object.json["answer"].rstrip("\n") == ran.out.rstrip("\n")
    assert files_of(alone.vault) == before


def test_old_daily_notes_are_used_and_it_says_so(alone: Person) -> None:
    ran = alone.run("orient", "--now", "2025-12-24")
    assert ran.code == 0
    assert "kos: There is no daily note from 2025-12-22 to 2025-12-24; the latest ones are used" in ran.err
    assert "Fix the day with --now" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["orient", "--fresh"],
        ["ask", "--fresh", "--budget", "1500", "what", "is", "blocked"],
        ["validate", "--fresh", "--folder", "02-Projects"],
        ["orient", "--where", "status=active", "--dry-run", "--timezone", "Asia/Tokyo", "--tier", "fast"],
        ["context", "fermentation chamber", "--budget", "900", "--gather", "search=60,maps=40", "--fresh"],
        ["context", "x", "--gather", "nonsense"],
        ["ask", "x", "--note", "Nowhere"],
        ["ask", "x", "--model", "nobody-has-it"],
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_a_service_answers_as_the_command_alone_does(with_model: Person, served: Person, words: list[str]) -> None:
    objects = []
    for person in (with_model, served):
        value = person.run(*words, "--json").json
        for name in ("run", "timings", "cached"):
            value.pop(name, None)
        if value.get("decision"):
            for name in ("id", "eta_seconds"):  # how fast the models are is learned by each for itself
                value["decision"].pop(name)
        if "error" in value:
            value["error"].pop("run")
        objects.append(value)
    assert objects[0] == objects[1]


@pytest.mark.parametrize(
    "words", [["orient", "--tier", "fast"], ["context", "koji"], ["ask", "x", "--note", "Nowhere"]], ids=" ".join
)
def test_a_person_sees_the_same_with_a_service_and_without(
    with_model: Person, served: Person, words: list[str]
) -> None:
    assert with_model.run(*words) == served.run(*words)


def runs(person: Person) -> int:
    """Runs that the service of this person knows."""
    where = json.loads(next(person.state.glob("vaults/*/service.json")).read_text("utf-8"))["url"]
    with httpx.Client(trust_env=False) as client:
        token = (person.state / "token").read_text("utf-8").strip()
        found = client.get(f"{where}/v1/runs", headers={"Authorization": f"Bearer {token}"}).json()
    return len(found["runs"])


def test_the_service_is_asked_unless_a_flag_says_what_it_may_not_do(served: Person, ollama: Double) -> None:
    before = runs(served)
    assert served.run("orient").code == 0
    assert runs(served) == before + 1
    for flags in (["--ollama-url", ollama.url], ["--profile", "rtx3080"], ["--cache", "memory"]):
        assert served.run("orient", *flags).code == 0
    assert runs(served) == before + 1


def test_what_a_running_service_decides_is_told_once(served: Person, tmp_path: Path) -> None:
    plain = served.run("context", "koji")
    assert "decides" not in plain.err
    told = served.run("context", "koji", "--embeddings", "on", env={"KOS_PROFILE": "cpu"})
    assert (told.code, told.out) == (plain.code, plain.out)
    assert told.err.startswith(
        "kos: the running service decides KOS_PROFILE, --embeddings: it was started with other settings\n     Start it anew"
    )
    assert told.err.count("decides") == 1
    assert "decides --embeddings:" in served.run("map", "--embeddings", "on").err
    assert served.run("context", "koji", "--embeddings", "on", "--json").err == ""
    (tmp_path / "other.toml").write_text('language = "German"\nprivate_tags = ["private"]\n')
    told = served.run("context", "koji", "--config", str(tmp_path / "other.toml"))
    assert "the running service decides language:" in told.err
    # In its own process a command has all of them.
    assert "decides" not in served.run("context", "koji", "--embeddings", "off", "--cache", "memory").err


WRONG = {
    ("orient", "--project", "nosuch"): "--project: no note is called 'nosuch'\n",
    (
        "ask",
        "x",
        "--note",
        "nosuch",
    ): "the note that --note names is not in the vault\n     Give its name, or its path ",
    ("context", "x", "--gather", "nosuch"): "--gather has no way 'nosuch'\n",
    ("context", "x", "--folder", "No such", "--where", "a>=2", "--where", "b=true", "--tag", "c"): (
        "no note fits --folder 'No such' --tag c --where 'a>=2' --where b=true\n"
    ),
    ("orient", "--since", "2999-01-01", "--dry-run"): "no note fits --since 2999-01-01\n",
    ("map", "nosuch"): "there is no note of this path or name\n     `kos map` lists the maps of the vault.\n",
    ("edits", "apply", "0", "--yes", "--hunk", "1"): "argument --hunk: must be the id of a hunk such as 1.1; ",
    ("undo", "nosuch", "--yes"): "there is no such edit\n     `kos edits` lists ",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words[:4]))
def test_what_is_wrong_is_told_in_the_words_of_the_command_line(
    with_model: Person, served: Person, words: tuple[str, ...]
) -> None:
    for person in (with_model, served):
        told = person.run(*words).err
        assert f"kos: {WRONG[words]}" in told
        assert not re.search(r"scope|\bfield|GET |Send |Body|`note`", told)


def test_a_dry_run_shows_the_sources_and_asks_no_model(with_model: Person, ollama: Double) -> None:
    before = len(ollama.chats())
    ran = with_model.run("orient", "--dry-run", "--project", "Fermentation Chamber")
    assert ran.code == 0
    assert ran.out.startswith("Sources\n  ")
    assert "02-Projects/Fermentation Chamber.md: active project" in ran.out
    assert len(ollama.chats()) == before


def test_the_context_is_verbatim(with_model: Person) -> None:
    ran = with_model.run("context", "koji", "--budget", "800")
    value = with_model.run("context", "koji", "--budget", "800", "--json").json
    assert value["passages"]
    for passage in value["passages"]:
        assert passage["text"].rstrip("\n") in ran.out
        assert passage["text"] in (with_model.vault / passage["path"]).read_text("utf-8")
        assert f"{passage['path']}" in ran.out
        assert passage["why"] in ran.out
    assert f"{len(value['passages'])} passages, {value['tokens']} of 800 tokens" in ran.err


def test_words_come_from_standard_input(with_model: Person, ollama: Double) -> None:
    assert with_model.run("ask", "-", stdin="\ufeffWas blüht? 咲く花\n".encode()).code == 0
    asked = json.dumps(ollama.chats()[-1].body, ensure_ascii=False)
    assert "Was blüht? 咲く花" in asked
    assert "\ufeff" not in asked


# --- failures


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [("missing", 4, "ollama pull qwen2.5:7b"), ("no_memory", 4, "not enough memory"), ("cut", 1, "broke off")],
)
def test_exit_codes_of_a_model_that_fails(with_model: Person, ollama: Double, fault: str, code: int, told: str) -> None:
    ollama.fault(fault)
    ran = with_model.run("ask", "--fresh", "what is blocked")
    assert ran.code == code
    assert told in ran.err
    assert "Traceback" not in ran.err
    ollama.fault(fault)
    ran = with_model.run("ask", "--fresh", "--json", "what is blocked")
    assert (ran.code, ran.err) == (code, "")
    assert list(ran.json) == ["error"]
    assert set(ran.json["error"]) == {"code", "message", "hint", "run"}
    assert told in " ".join(map(str, ran.json["error"].values()))


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("node_unavailable", 3), ("over_budget", 4), ("invalid", 2), ("deadline", 1), ("busy", 1), ("shutting_down", 1)],
)
def test_exit_codes_of_a_service_that_refuses(tmp_path: Path, code: str, exit_code: int) -> None:
    house = edge.House(script=edge.refuses(code, "it is told", retry_after=7))
    with edge.live(tmp_path, house) as live:
        person = Person(tmp_path, tmp_path / "vault")
        folder = person.state / "vaults" / vault_id(person)
        folder.mkdir(parents=True)
        announced = {"url": live.url, "uds": "", "pid": os.getpid()}
        (folder / "service.json").write_text(json.dumps(announced), "utf-8")
        ran = person.run("orient", env={"KOS_TOKEN": edge.TOKEN})
        assert (ran.code, ran.out) == (exit_code, "")
        assert ran.err == "kos: it is told\n     a hint Try again in 7 s.\n"
        ran = person.run("orient", env={"KOS_TOKEN": "x" * 20})
        assert ran.code == 1
        assert "the token is missing or wrong" in ran.err


def vault_id(person: Person) -> str:
    from server.config import load, vault_folder

    return vault_folder(load({"vault": str(person.vault), "state_dir": str(person.state)}, {})).name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orient", "--vault", "{}/nowhere"], "nowhere does not exist"),
        (["orient", "--vault", "{}/vault/One.md"], "is a file; a vault is a folder"),
        (["orient", "--state-dir", "{}/vault/state"], "lies in the vault"),
        (["orient", "--now", "soon"], "--now is 'soon'"),
        (["orient", "--timezone", "Mars/Base"], "--timezone is 'Mars/Base'"),
        (["orient", "--profile", "nope"], "there is no profile 'nope'"),
        (["orient", "--cache", "redis://:secret@host:x"], "--cache cannot be used"),
        (["orient", "--ollama-url", "ftp://x"], "--ollama-url is 'ftp://x'"),
        (["orient", "--config", "{}/none.toml"], "none.toml does not exist"),
        (["orient", "\udcff\udcfe"], "the text is not UTF-8"),
        (["serve", "--vault", "{}/nowhere"], "nowhere does not exist"),
        (["serve", "--port", "99999"], "--port is '99999'"),
        (["nonsense"], "there is no command 'nonsense'\n     Commands are orient, update,"),
        (["orient", "--nonsense"], "unrecognized arguments: '--nonsense'"),
        (["orint"], "there is no command 'orint'\n     Did you mean orient?"),
        (["ask", "-"], "ask needs a text"),
        ([], "usage: kos"),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "replace").decode() if isinstance(words, list) else "",
)
def test_bad_input_is_told_and_nothing_is_written(small: Person, words: list[str], told: str) -> None:
    before = files_of(small.folder)
    given = [word.replace("{}", str(small.folder)) for word in words]
    ran = small.run(*given)
    assert ran.code == 2
    assert ran.out == ""
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert "secret" not in ran.err
    assert ran.err.startswith(("kos: ", "usage: kos"))
    assert files_of(small.folder) == before


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"a\0b", b"x" * 800_001], ids=["binary", "nul", "long"])
def test_standard_input_that_is_no_text(small: Person, data: bytes) -> None:
    ran = small.run("ask", "-", "--json", stdin=data)
    assert (ran.code, ran.err) == (2, "")
    assert ran.json["error"]["code"] == "invalid"
    assert not small.state.exists()


def test_a_state_folder_that_cannot_be_made_is_no_end(small: Person) -> None:
    small.state.write_text("a file where the folder should be", "utf-8")
    ran = small.run("ask", "kettle")
    assert ran.code == 0
    assert "The kettle is blue." in ran.out
    assert "state folder cannot be written" in ran.err
    assert sorted(path.name for path in small.vault.iterdir()) == [".obsidian", "One.md"]
    ran = small.run("serve")
    assert ran.code == 2
    assert "Traceback" not in ran.err


# --- pipes, terminals, signals


@pytest.mark.parametrize("through", ["process", "service"])
@pytest.mark.parametrize("how", ["interrupted", "broken pipe"])
def test_an_end_from_outside_cancels_the_work(
    with_model: Person, served: Person, ollama: Double, through: str, how: str
) -> None:
    person = served if through == "service" else with_model
    # Words come, but slowly: a broken pipe is found at the next one.
    ollama.fault("drip", after=2, seconds=0.01)
    process = person.start("ask", "--fresh", "--stream", f"{how} {through}")
    try:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1)  # the answer has begun
        chat = ollama.chats()[-1]
        if how == "interrupted":
            process.send_signal(signal.SIGINT)
            ended = (130, "kos: interrupted\n")
        else:
            process.stdout.close()
            process.stdout = None
            ended = (141, "")
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err.decode()) == ended
        until(lambda: chat.closed)
    finally:
        process.kill()
        process.wait()
    until(lambda: not ollama.machine.running)


@pytest.mark.parametrize("words", [["orient", "--stream"], ["validate", "--json"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough(alone: Person, words: list[str]) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"{shlex.join([*PROGRAM, *words])} | head -c 1; echo; echo ${{PIPESTATUS[0]}}"],
        env=alone.env, cwd=alone.folder, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    assert "BrokenPipe" not in ran.stderr
    assert ran.stdout.split("\n")[-2] in ("0", "141")  # whether it was still writing


def test_output_that_cannot_be_written(alone: Person) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = alone.run("orient", stdout=full)
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert "Traceback" not in ran.err
    command = f"{shlex.join([*PROGRAM, 'orient', '--json'])} >&- 2>&-"
    closed = subprocess.run(["sh", "-c", command], env=alone.env, capture_output=True, timeout=PATIENCE, check=False)
    assert closed.returncode == 0
    assert closed.stderr == b""


def test_words_the_terminal_cannot_show(small: Person) -> None:
    write(small.vault, {"Flower.md": "# Flower\n\nDas Blümchen heißt 咲く花 🌸.\n"})
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    ran = small.run("ask", "Flower", env=env)
    assert ran.code == 0
    assert "Das Bl?mchen hei?t ??? ?." in ran.out
    assert "咲く花 🌸" in small.run("ask", "Flower", "--json", env=env).json["answer"]


def test_progress_on_a_terminal(with_model: Person, ollama: Double) -> None:
    ollama.answers.append(ANSWER)
    terminal = with_model.on_terminal("ask", "--fresh", "the fermentation chamber")
    assert terminal.end() == 0
    text = terminal.text
    waited = "loading qwen2.5:7b" if "loading" in text else "thinking qwen2.5:7b"  # as another test has left it
    for part in ("reading the vault", "passages of", "qwen2.5:7b on local, tier balanced", waited):
        assert part in text
        # Each line of progress is erased before the answer.
        assert text.index(part) < text.rindex("\r\x1b[2K") < text.index(ANSWER)
    after = text[text.index(ANSWER) :]
    assert "\x1b[1mSources\x1b[0m" in after
    assert "02-Projects/Fermentation Chamber.md: fits the words" in after
    assert "qwen2.5:7b on local, tier balanced" in after


def test_a_terminal_lists_what_was_found_in_notes(small: Person, ollama: Double) -> None:
    small.env["KOS_OLLAMA_URL"] = ollama.url
    write(small.vault, {"Two.md": "".join(f"[[Missing {number}]]\n" for number in range(30))})
    terminal = small.on_terminal("validate")
    assert terminal.end() == 0
    found = [finding for finding in small.run("validate", "--json").json["findings"] if finding["path"]]
    assert len(found) >= 30
    # Elsewhere only what is about the answer as a whole is told.
    assert small.run("validate").err == ""
    assert f"Findings ({len(found)})\r\n" in terminal.text
    assert f"  {found[0]['weight']}: {found[0]['path']}: {found[0]['message']}\r\n" in terminal.text
    assert f"  and {len(found) - 20} more; --json has them all\r\n" in terminal.text


@pytest.mark.parametrize(
    ("env", "progress"), [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, False)], ids=["no colour", "dumb"]
)
def test_terminals_that_want_it_plain(with_model: Person, env: dict[str, str], progress: bool) -> None:
    terminal = with_model.on_terminal("orient", env=env)
    assert terminal.end() == 0
    assert "Sources" in terminal.text
    assert ("reading the vault" in terminal.text) is progress
    assert "\x1b" not in terminal.text.replace("\r\x1b[2K", "" if progress else "\x1b")


def test_a_terminal_sees_the_answer_as_it_comes(with_model: Person, ollama: Double) -> None:
    ollama.answers.append(ANSWER)
    ollama.fault("stall", after=2, seconds=120)
    terminal = with_model.on_terminal("ask", "--fresh", "is it warm")
    terminal.read(until=ANSWER[:4])
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert terminal.text.endswith("\r\nkos: interrupted\r\n")


def test_a_terminal_is_never_commanded_by_a_note(small: Person) -> None:
    evil = "\x1b]0;owned\x07\x9b31m"
    write(small.vault, {"Evil.md": f"# Evil\n\nThe kettle {evil} is red.\r\n\r\nAnd more.\r\n"})
    for words in (["context", "kettle red"], ["ask", "kettle red"]):
        terminal = small.on_terminal(*words)
        assert terminal.end() == 0
        assert "\x1b]" not in terminal.text
        assert "\x9b" not in terminal.text
        assert "\x07" not in terminal.text
        assert "The kettle" in terminal.text
        assert "\ufffd\n" not in terminal.text
    # A pipe gets the bytes of the note.
    assert f"The kettle {evil} is red.\r\n" in small.run("context", "kettle red").out


# --- the other commands


def test_serve_prints_a_line_that_works_when_pasted(small: Person, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    # As after the first start of ./kos: an environment is there, made from the lock file.
    ready = write(tmp_path / "env" / ".venv", {"made-from.lock": (ROOT / "requirements.lock").read_bytes()})
    write(ready, {"bin/python": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'})
    (ready / "bin/python").chmod(0o755)
    plain = {name: value for name, value in small.env.items() if not name.startswith("KOS_")}
    for socket in ([], ["--uds", str(tmp_path / "kos.sock")]):
        process = small.start("serve", "--port", "0", *socket, cwd=ROOT)
        try:
            assert str(small.vault) in line_of(process)
            assert line_of(process) == "Try it:\n"
            line = line_of(process).strip()
            assert "$(./kos token " in line
            ran = subprocess.run(
                ["sh", "-c", line], cwd=ROOT, env={**plain, "KOS_ENV_DIR": str(tmp_path / "env")},
                capture_output=True, timeout=PATIENCE, check=True,
            )  # fmt: skip
            assert json.loads(ran.stdout)["command"] == "orient"
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err


def test_serve_tells_programs_where_it_is(small: Person) -> None:
    with small.serving() as service:
        assert set(service.said) == {"url", "token_file", "pid"}
        assert service.said["pid"] == service.process.pid
        assert Path(service.said["token_file"]).read_text("utf-8").strip() == small.run("token").out.strip()
        again = small.run("serve", "--port", "0")
        assert again.code == 1
        assert f"this vault is already served by process {service.process.pid}" in again.err
        service.process.kill()
        service.process.wait()
        # Its traces are still there, and nobody behind them.
        ran = small.run("ask", "kettle")
        assert ran.code == 0
        assert "The kettle is blue." in ran.out


def test_a_service_that_goes_away_in_the_middle(small: Person, ollama: Double) -> None:
    small.env["KOS_OLLAMA_URL"] = ollama.url
    ollama.fault("stall", after=2, seconds=120)
    with small.serving() as service:
        process = small.start("ask", "kettle", "--stream")
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1)
        service.process.kill()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "went away before it had answered" in err.decode()


def test_the_token(small: Person) -> None:
    made = small.run("token")
    file = Path(small.run("token", "--path").out.strip())
    assert made.code == 0
    assert file.read_text("utf-8") == made.out == small.run("token").out
    assert file.stat().st_mode & 0o777 == 0o600
    assert small.run("token", env={"KOS_TOKEN": "t" * 20}).out == "t" * 20 + "\n"


def test_the_configuration_in_force(small: Person) -> None:
    file = small.folder / "config" / "knowledge-os" / "config.toml"
    write(file.parent, {"config.toml": 'language = "German"\ntoken = "not-to-be-seen-by-you"\nprofile = "cpu"\n'})
    ran = small.run("config", "--profile", "rtx3080", "--json")
    rows = {row["option"]: (row["value"], row["source"]) for row in ran.json["options"]}
    assert ran.json["file"] == str(file)
    assert ran.json["exists"] is True
    assert rows["language"] == ("German", "file")
    assert rows["profile"] == ("rtx3080", "flag")
    assert rows["vault"] == (str(small.vault), "environment KOS_VAULT")
    assert rows["port"] == (8765, "default")
    told = small.run("config")
    assert told.out.startswith(f"file: {file}\n")
    assert "not-to-be-seen" not in told.out + ran.out
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == list(rows)


def test_init_writes_a_file_that_says_what_was_given(small: Person) -> None:
    file = small.folder / "config" / "knowledge-os" / "config.toml"
    ran = small.run("init", "--vault", str(small.vault), "--port", "9000", "--profile", "cpu")
    assert ran.code == 0
    assert f"wrote {file}\n" in ran.out
    assert file.stat().st_mode & 0o777 == 0o600
    plain = {"KOS_VAULT": "", "KOS_CACHE": ""}
    rows = {row["option"]: row for row in small.run("config", "--json", env=plain).json["options"]}
    given = {name: (row["value"]) for name, row in rows.items() if row["source"] == "file"}
    assert given == {"vault": str(small.vault), "port": 9000, "profile": "cpu"}
    before = file.read_bytes()
    again = small.run("init")
    assert again.code == 1
    assert "is there already" in again.err
    assert "--force" in again.err
    assert file.read_bytes() == before
    file.write_text("= what cannot be read", "utf-8")
    assert small.run("init").code == 1
    assert small.run("init", "--force").code == 0
    assert file.read_text("utf-8") == template()
    assert sorted(path.name for path in file.parent.iterdir()) == ["config.toml"]
    elsewhere = small.folder / "else" / "my.toml"
    assert small.run("init", "--config", str(elsewhere)).code == 0
    assert elsewhere.read_text("utf-8") == template()
    for bad in (["--vault", str(small.folder / "nowhere")], ["--port", "many"]):
        ran = small.run("init", "--config", str(small.folder / "third.toml"), *bad)
        assert ran.code == 2
    assert not (small.folder / "third.toml").exists()


def test_the_example_file_is_what_init_writes() -> None:
    assert (ROOT / "examples" / "knowledge-os.toml").read_text("utf-8") == template()


def test_every_option_with_a_flag_is_on_the_command_line() -> None:
    actions = parser.parser()._subparsers._group_actions  # type: ignore[union-attr]
    commands: dict[str, argparse.ArgumentParser] = actions[0].choices  # type: ignore[assignment]
    for option in OPTIONS:
        if option.flag:
            assert option.flag in commands["serve"]._option_string_actions
            assert (option.flag in commands["orient"]._option_string_actions) is (
                option.name not in ("host", "port", "uds")
            )


def test_words_are_kept_in_the_note_of_the_day_and_that_is_said(tmp_path: Path) -> None:
    person = Person(tmp_path)
    found = person.run("update", "-", stdin=b"found the label printer\nbehind the flour")
    assert found.code == 0
    assert "kos: written: your words (01-Journal/Daily/2025-09-14.md)\n" in found.err
    note = (person.vault / "01-Journal/Daily/2025-09-14.md").read_text()
    assert "## Log\n- 09:00 found the label printer\n  behind the flour\n\n## Tasks" in note
    with person.serving():
        assert person.run("update", "--json", "again").json["edits"][0]["status"] == "applied"
    assert "- 09:00 again\n" in (person.vault / "01-Journal/Daily/2025-09-14.md").read_text()
    assert person.run("update", "--dry-run", "not this").code == 0
    assert "not this" not in (person.vault / "01-Journal/Daily/2025-09-14.md").read_text()


def test_words_that_are_piped_in_need_no_dash(tmp_path: Path) -> None:
    person = Person(tmp_path)
    assert person.run("update", stdin=b"one\ntwo\n").code == 0
    assert person.run("update", stdin=b"three").code == 0
    note = (person.vault / "01-Journal/Daily/2025-09-14.md").read_text()
    assert "## Log\n- 09:00 one\n  two\n- 09:00 three\n\n## Tasks" in note


@pytest.mark.parametrize("command", ["orient", "plan", "context"])
def test_a_scope_that_leaves_nothing_is_said(small: Person, command: str) -> None:
    ran = small.run(command, "--where", "status=actve")
    assert ran.code == 0
    assert "kos: no note fits --where status=actve\n" in ran.err
    assert command == "context" or "No note of the vault fits the scope" in ran.out


def test_words_that_nothing_fits_are_said(small: Person) -> None:
    ran = small.run("context", "zzzqqq")
    assert (ran.code, ran.out) == (0, "")
    assert "kos: 0 passages" in ran.err
    assert "kos: the vault holds nothing that fits these words\n" in ran.err
    write(small.vault, {"Shed.md": "---\ntype: project\nstatus: active\n---\nPaint it.\n"})
    terminal = small.on_terminal("research", "zzzqqq")
    assert terminal.end() == 0
    assert "The vault holds nothing that fits these words." in terminal.text
    assert "Sources" not in terminal.text, "what was read beside them is no source of that"


def test_a_terminal_names_the_notes_that_are_cited_and_counts_the_others(tmp_path: Path) -> None:
    person = Person(tmp_path)
    with double_in_thread(answers=["The disk is broken. [[03-Infrastructure/Pantry#Disks]]"]) as ollama:
        terminal = person.on_terminal("ask", "what of the disk?", env={"KOS_OLLAMA_URL": ollama.url})
        assert terminal.end() == 0
    after = terminal.text.split("Sources")[1]
    assert "03-Infrastructure/Pantry.md: " in after
    assert re.search(r"and \d+ more were read; --json names them", after)
    assert "Off-Site Backup.md" not in after
