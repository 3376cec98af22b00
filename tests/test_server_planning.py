"""`kos plan-memory` and the plan in the status: the sums of the profile in force, by what its nodes tell."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from inference.plan import make_plan
from inference.profile import load
from tests.kos import Person
from tests.ollama_double import double_in_thread
from tests.test_server_doctor import OVER
from tests.vaults import write


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with double_in_thread(kv_type="q8_0", vram_gib=8.5) as double:
        yield Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One"}), double.url)


def test_the_plan_is_printed(person: Person) -> None:
    ran = person.run("plan-memory")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "local: 8.50 GiB for models, of a card of 10 with 1.5 for others"
    assert lines[1].split() == "tier runner model window KV weights cache compute context sum verdict".split()
    assert lines[2].split() == "fast llama-3b llama3.2:3b 7168 q8_0 1.87 0.41 0.13 0.35 2.76 fits".split()
    assert lines[5] == (
        "qwen-7b and llama-3b stay loaded together (7.85 GiB), loaded in this order: qwen-7b, then llama-3b."
    )


def test_programs_get_all_of_it(person: Person) -> None:
    ran = person.run("plan-memory", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["profile"] == "rtx3080"
    assert ran.json["disabled_tiers"] == []
    [node] = ran.json["nodes"]
    assert node["load_order"] == ["qwen-7b", "llama-3b"]
    assert {runner["source"] for runner in node["runners"]} == {"node"}
    for runner in node["runners"]:
        need = runner["need"]
        assert need["card"] == need["weights"] + need["kv"] + need["compute"] + need["context"] <= node["budget"]


def test_what_does_not_fit_is_told_and_the_exit_code_says_so(tmp_path: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One"}))
    write(tmp_path, {"own.toml": OVER.replace('offload = "cpu"\n', "")})
    ran = person.run("plan-memory", "--profile", str(tmp_path / "own.toml"), "--ollama-url", "")
    assert ran.code == 4
    assert "It does not answer: planned with what is known of such models." in ran.out
    assert "wide: needs 20." in ran.out
    assert "slow: needs" in ran.out
    assert "Nothing smaller of it fits: take another model" in ran.out
    assert "strange: nothing is known of unheard:3b" in ran.out
    assert "twin, small are to stay loaded and cannot be loaded at once" in ran.out
    assert "Disabled: deep. The other tiers work." in ran.out
    small = OVER.replace("codellama:13b", "mistral:7b-instruct").replace("num_ctx = 16384", "num_ctx = 32768")
    write(tmp_path, {"own.toml": small.replace("[nodes.desk.memory]\nvram_gib = 8", "")})
    ran = person.run("plan-memory", "--profile", str(tmp_path / "own.toml"), "--ollama-url", "")
    assert ran.code == 0
    assert "desk: its memory is not planned" in ran.out


def test_a_part_on_the_cpu_is_told_with_its_speed(tmp_path: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One"}))
    ran = person.run("plan-memory", "--profile", "rtx3080-seed")
    assert ran.code == 0
    assert "codellama-13b: 3.30 GiB in the CPU's memory, as declared, about 10 tokens per second." in ran.out
    ran = person.run("plan-memory", "--profile", "cpu")
    assert "local: no card; 4 GiB of the CPU's memory for models" in ran.out
    assert "llama-1b: 1.60 GiB in the CPU's memory, as declared, about 15 tokens per second." in ran.out


def test_the_service_starts_without_what_does_not_fit_and_its_status_has_the_plan(tmp_path: Path) -> None:
    with double_in_thread(models=["mistral:7b", "llama3.1:8b", "codellama:13b"]) as double:
        person = Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One"}), double.url)
        write(tmp_path, {"own.toml": OVER.replace("http://127.0.0.1:9", double.url)})
        person.env["KOS_PROFILE"] = str(tmp_path / "own.toml")
        with person.serving() as serving:
            token = person.run("token").out.strip()
            with httpx.Client(base_url=str(serving.said["url"]), headers={"Authorization": f"Bearer {token}"}) as http:
                memory = http.get("/v1/status").json()["memory"]
                assert memory["disabled_tiers"] == ["deep"]
                [node] = memory["nodes"]
                verdicts = {runner["runner"]: runner["verdict"] for runner in node["runners"]}
                assert verdicts == {
                    "small": "fits",
                    "twin": "fits",
                    "wide": "over",
                    "slow": "fits",
                    "strange": "unknown",
                }
                refused = http.post("/ask", json={"text": "What is one?", "tier": "deep"})
                assert (refused.status_code, refused.json()["error"]["code"]) == (424, "over_budget")
                assert "of 7.50; num_ctx = 15360 (7.40 GiB) would fit" in refused.json()["error"]["message"]
                assert http.post("/ask", json={"text": "What is one?", "tier": "fast"}).status_code == 200


def test_a_profile_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One"}))
    ran = person.run("plan-memory", "--profile", "nobody")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no profile 'nobody'" in ran.err
    assert "Traceback" not in ran.err


def test_the_default_plan_needs_no_node() -> None:
    assert make_plan(load("rtx3080")).nodes[0].order == ("qwen-7b", "llama-3b")
