"""The README, done as it says: its curl lines as pasted, and what it shows of the briefing."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kos import PATIENCE, ROOT, Person

README = (ROOT / "README.md").read_text()
BLOCKS = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "curl " in block]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, str]]:
    person = Person(tmp_path_factory.mktemp("readme"))
    with person.serving() as serving:
        yield person, str(serving.said["url"])


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_curl_line_works_as_pasted(served: tuple[Person, str], block: str) -> None:
    person, url = served
    pasted = block.replace("http://127.0.0.1:8765", url).replace("./kos", f"{sys.executable} knowledge_os.py")
    done = subprocess.run(
        ["bash", "-c", pasted.replace("curl ", "curl -sS --fail-with-body ")],
        cwd=ROOT,
        env=person.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("event: done") == 1 if "event-stream" in block else done.stdout.startswith("{")


def test_what_it_shows_is_what_the_briefing_says(served: tuple[Person, str]) -> None:
    shown = README.split("without any model:\n\n```\n")[1].split("```")[0]
    told = served[0].run("orient").out
    for line in shown.splitlines():
        for part in filter(None, (part.strip() for part in line.split("…"))):
            assert part in told, part


def test_every_command_of_the_table_is_there(served: tuple[Person, str]) -> None:
    told = served[0].run("--help").out
    for name in re.findall(r"^\| `kos (\w+)", README, re.MULTILINE):
        assert re.search(rf"^ +{name}\b", told, re.MULTILINE), name


def test_the_models_to_pull_are_those_of_the_default_profile() -> None:
    profile = (ROOT / "inference/profiles/rtx3080.toml").read_text()
    assert set(re.findall(r"ollama pull (\S+)", README)) == set(re.findall(r'^model = "(\S+)"', profile, re.MULTILINE))
