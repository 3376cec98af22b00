"""The doctor: finds what is wrong with a real vault, Redis, service and node, and is never ill itself."""

import json
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prompts import SHIPPED, PromptError
from server import doctor
from server.config import Config, ConfigError, load, token_file, vault_dir
from server.doctor import Check, _left_alone, checks
from tests.edge import config as edge_config
from tests.kos import Person, closed_port, files_of
from tests.ollama_double import double_in_thread
from tests.redis_server import RedisServer
from tests.serving import program
from tests.vaults import write

MODELS = ("llama3.2:3b", "qwen2.5:7b", "qwen3:8b")
NOTES = {"One.md": "# One\n", "@Map.md": "[[One]]\n", ".obsidian/app.json": '{"userIgnoreFilters": ["Old/"]}'}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A sound configuration, with a vault and no node."""
    return with_options(tmp_path)


def with_options(folder: Path, **flags: Any) -> Config:
    write(folder / "vault", NOTES)
    usual = {
        "vault": str(folder / "vault"),
        "state_dir": str(folder / "state"),
        "ollama_url": f"http://127.0.0.1:{closed_port()}",
        "cache": "sqlite",
        "timezone": "Europe/Berlin",
    }
    return load({**usual, **flags}, {"KOS_CONFIG": os.devnull})


def found(config: Config) -> dict[str, Check]:
    """What the doctor finds, by name; every line is whole."""
    every = list(checks(lambda: config))
    for check in every:
        assert check.status in ("ok", "warning", "broken")
        assert check.found
        assert check.fix or check.status == "ok"
    return {check.name: check for check in every}


@contextmanager
def node_that_says(answers: Mapping[str, Any], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """A node with fixed answers; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            data = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ollama(version: str = "0.33.0", models: tuple[str, ...] = MODELS, **loaded: int) -> dict[str, Any]:
    """The answers of an Ollama; `loaded`: bytes of the first model on the GPU, of 100 GiB."""
    in_memory = [
        {"name": MODELS[0], "size": 100 << 30, "size_vram": size, "context_length": 8192} for size in loaded.values()
    ]
    return {
        "/api/version": {"version": version},
        "/api/tags": {"models": [{"name": name} for name in models]},
        "/api/ps": {"models": in_memory},
    }


# --- the whole of it, as people run it


def test_when_all_is_well(tmp_path: Path) -> None:
    with double_in_thread() as double:
        person = Person(tmp_path, write(tmp_path / "vault", NOTES), double.url)
        person.env["KOS_NOW"] = ""
        before = files_of(person.vault)
        ran = person.run("doctor", "--json")
        assert (ran.code, ran.err) == (0, "")
        assert ran.json["ok"] is True
        assert {check["status"] for check in ran.json["checks"]} == {"ok"}
        names = [check["name"] for check in ran.json["checks"]]
        assert names == [
            *("python", "packages", "full text", "prompts", "configuration", "time zone", "token", "state folder"),
            *("vault", "index", "cache", "service", "decisions", "profile", "node local", "model", "model", "model"),
            *("memory", "memory", "memory", "memory"),
        ]
        assert [check["found"] for check in ran.json["checks"][-7:]] == [
            "llama3.2:3b for fast",
            "qwen2.5:7b for balanced",
            "qwen3:8b for deep",
            "llama3.2:3b for fast: 2.76 GiB (weights 1.87 + KV 0.41 + compute 0.13 + context 0.35) of 8.50",
            "qwen2.5:7b for balanced: 5.09 GiB (weights 4.36 + KV 0.23 + compute 0.15 + context 0.35) of 8.50",
            "qwen3:8b for deep: 6.54 GiB (weights 4.68 + KV 1.20 + compute 0.31 + context 0.35) of 8.50",
            (
                "local: 8.50 GiB for models, of a card of 10 with 1.5 for others; qwen-7b and llama-3b stay loaded "
                "together (7.85 GiB), loaded in this order: qwen-7b, then llama-3b"
            ),
        ]
        with person.serving() as service:
            assert person.run("context", "one").code == person.run("context", "one").code == 0
            told = person.run("doctor")
        assert told.code == 0
        assert f"process {service.process.pid} at {service.said['url']}; " in told.out
        assert "its cache is sqlite, which had 50 % of 2 contexts\n" in told.out
        assert told.out.endswith("\nNothing is broken.\n")
        assert files_of(person.vault) == before


def test_with_everything_missing(tmp_path: Path) -> None:
    person = Person(tmp_path, tmp_path / "nowhere")
    person.env["KOS_PROFILE"] = "nope"
    ran = person.run("doctor")
    assert (ran.code, ran.err) == (1, "")
    assert "Broken: vault, profile." in ran.out
    for hint in ("nowhere does not exist", "there is no profile 'nope'", "kos token"):
        assert hint in ran.out
    person.env |= {"KOS_VAULT": "", "KOS_PROFILE": "", "KOS_STATE_DIR": "/dev/null/x"}
    ran = person.run("doctor", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert [check["name"] for check in ran.json["checks"] if check["status"] == "broken"] == [
        *("state folder", "vault", "node local"),
    ]
    person.env["KOS_NOW"] = "soon"
    ran = person.run("doctor", "--json")
    assert ran.code == 1
    assert ran.json["checks"][-1]["name"] == "configuration"
    assert "KOS_NOW is 'soon'" in ran.json["checks"][-1]["found"]
    assert list(tmp_path.iterdir()) == []


# --- one by one


def test_the_program_itself(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = found(config)
    assert sound["packages"].status == sound["full text"].status == "ok"
    assert sound["prompts"].found == ", ".join(SHIPPED)

    wanted = ["pyyaml>=6", "pyyaml>=99,<100", "pyyaml<5.4", "nobody-made-this>=1", 'other; extra == "web"']
    monkeypatch.setattr(doctor, "_requirements", lambda: wanted)
    packages = found(config)["packages"]
    assert packages.status == "broken"
    assert packages.found.count("pyyaml is 6.") == 2
    assert "not >=99,<100" in packages.found
    assert "nobody-made-this is missing" in packages.found
    assert "other" not in packages.found
    assert "./kos" in packages.fix

    def gone() -> Any:
        raise PromptError("the file prompts/ask.md is missing")

    monkeypatch.setattr("commands.house.shipped_prompts", gone)
    assert found(config)["prompts"] == Check("prompts", "broken", "the file prompts/ask.md is missing", packages.fix)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("0.28.1", ">=0.28.1,<0.29", True),
        ("0.29.0", ">=0.28.1,<0.29", False),
        ("0.28.0", ">=0.28.1,<0.29", False),
        ("1.10.0", ">=1.5.1", True),
        ("2026.2", ">=2025.2", True),
        ("6.0rc1", ">=6.0", True),
        ("5", "", True),
    ],
)
def test_versions_compare_as_numbers(version: str, wanted: str, fits: bool) -> None:
    assert doctor._fits(version, wanted) is fits


def test_a_look_that_fails_is_a_finding(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def ill(_: Config) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(doctor, "_token", ill)
    every = found(config)
    assert every["token"].status == "broken"
    assert "ZeroDivisionError: by zero" in every["token"].found
    assert every["vault"].status == "ok"


def test_a_configuration_that_cannot_be_read() -> None:
    def refused() -> Config:
        raise ConfigError("port is 'x'", "correct it")

    assert list(checks(refused))[-1] == Check("configuration", "broken", "port is 'x'", "correct it")


def test_a_configuration_file_that_others_can_read(tmp_path: Path) -> None:
    file = write(tmp_path, {"config.toml": f'token = "{"t" * 20}"'}) / "config.toml"
    file.chmod(0o644)
    config = load({"vault": str(write(tmp_path / "vault", NOTES)), "state_dir": str(tmp_path / "state")}, {}, file)
    check = found(config)["configuration"]
    assert (check.status, check.fix) == ("warning", f"chmod 600 {file}")
    file.chmod(0o600)
    assert found(config)["configuration"] == Check("configuration", "ok", str(file))
    assert found(config)["token"].found == "set by file"


def test_time_stands_still(tmp_path: Path, config: Config) -> None:
    assert found(config)["time zone"].found.startswith("Europe/Berlin, ")
    fixed = found(with_options(tmp_path, now="2025-09-14"))["time zone"]
    assert fixed.status == "warning"
    assert "Sunday 2025-09-14 09:00" in fixed.found


def test_the_token_file(config: Config) -> None:
    assert found(config)["token"].found == "none yet"
    config.state_dir.mkdir(exist_ok=True)
    file = token_file(config)
    file.write_text("t" * 43, "utf-8")
    file.chmod(0o640)
    check = found(config)["token"]
    assert (check.status, check.found) == ("broken", f"others can read {file}")
    file.chmod(0o600)
    assert found(config)["token"] == Check("token", "ok", str(file))
    file.write_text("", "utf-8")
    assert "holds no token" in found(config)["token"].found


def test_the_state_folder(tmp_path: Path, config: Config) -> None:
    assert "made when it is first needed" in found(config)["state folder"].found
    vault_dir(config)
    assert found(config)["state folder"] == Check("state folder", "ok", str(config.state_dir))
    config.state_dir.chmod(0o755)
    assert found(config)["state folder"].fix == f"chmod 700 {config.state_dir}"
    (tmp_path / "file").write_text("", "utf-8")
    blocked = found(with_options(tmp_path, state_dir=str(tmp_path / "file" / "state")))
    assert blocked["state folder"].status == "broken"
    # Without it notes are still read, and nothing is kept beside them.
    assert blocked["vault"].status == "ok"
    assert blocked["cache"].found.startswith("memory")
    assert "index" not in blocked


def test_the_vault(tmp_path: Path, config: Config) -> None:
    write(
        tmp_path / "vault",
        {
            "Bad.md": "---\na: [\n---\n",
            "Old/Gone.md": "",
            "One.sync-conflict-20250914-120000-ABCDEFG.md": "",
        },
    )
    every = found(config)
    told = every["vault"].found
    assert "3 notes, 1 maps" in told
    assert "1 left out (conflict copies" in told
    assert "not looked at, as Obsidian is told: Old/" in told
    assert every["flagged notes"].status == "warning"
    assert every["flagged notes"].found.startswith("1 cannot be read whole: Bad.md (frontmatter: ")
    assert str(config.state_dir) in every["index"].found
    (tmp_path / "empty").mkdir()
    assert found(with_options(tmp_path, vault=str(tmp_path / "empty")))["vault"].status == "warning"
    for vault in ("nowhere", "vault/One.md"):
        every = found(with_options(tmp_path, vault=str(tmp_path / vault)))
        assert every["vault"].status == "broken"
        assert "service" not in every


def test_it_counts_the_notes_that_validate_finds(tmp_path: Path) -> None:
    """In a template stand placeholders, which make no properties of a note."""
    person = Person(tmp_path)
    checks = person.run("doctor", "--json").json["checks"]
    [flagged] = [check["found"] for check in checks if check["name"] == "flagged notes"]
    findings = person.run("validate", "--json").json["findings"]
    codes = ("unreadable_properties", "unreadable_note", "flagged_note")
    [path] = {one["path"] for one in findings if one["code"] in codes}
    assert flagged.startswith(f"1 cannot be read whole: {path} (")
    assert "Templates" not in flagged


def test_an_index_that_is_damaged_is_built_again(config: Config) -> None:
    (vault_dir(config) / "index.sqlite").write_bytes(b"no index" * 1000)
    every = found(config)
    assert every["vault"].status == every["index"].status == "ok"


def test_the_cache(tmp_path: Path) -> None:
    assert found(with_options(tmp_path))["cache"].found == "sqlite, 0 values"
    assert found(with_options(tmp_path, cache="memory"))["cache"].found == "memory, 0 values"
    with RedisServer(password="open-sesame") as redis:
        with_password = redis.url.replace("//", "//:open-sesame@")
        check = found(with_options(tmp_path, cache=with_password))["cache"]
        assert (check.status, check.found) == ("ok", f"redis at 127.0.0.1:{redis.port}")
        check = found(with_options(tmp_path, cache=redis.url))["cache"]
        assert check.status == "broken"
        assert f"redis at 127.0.0.1:{redis.port} does not answer" in check.found
    check = found(with_options(tmp_path, cache=with_password))["cache"]
    assert check.status == "broken"
    assert "open-sesame" not in check.found


def test_a_cache_that_is_away_is_told_once(tmp_path: Path) -> None:
    write(tmp_path / "vault", NOTES)
    cache = f"redis://127.0.0.1:{closed_port()}"
    with program(tmp_path, "real", cache=cache) as service, service.client() as client:
        assert client.post("/v1/context", json={"text": "one"}).status_code == 200
        every = {check.name: check for check in checks(lambda: edge_config(tmp_path, cache=cache))}
    assert every["cache"].status == "broken"
    assert every["service"].status == "ok"
    assert "its cache is sqlite" in every["service"].found


# --- profile and nodes


def test_the_profile(tmp_path: Path) -> None:
    assert "there is no profile 'nope'" in found(with_options(tmp_path, profile="nope"))["profile"].found
    file = write(tmp_path, {"settings.toml": 'trusted_nodes = ["attic"]'}) / "settings.toml"
    config = load({"vault": str(tmp_path / "vault"), "state_dir": str(tmp_path / "state")}, {}, file)
    assert "node 'attic' cannot be trusted" in found(config)["profile"].found


def test_a_node_that_is_away(config: Config) -> None:
    check = found(config)["node local"]
    assert check.status == "broken"
    assert f"{config.ollama_url} refuses connections; commands answer from the vault alone" in check.found
    assert "ollama serve" in check.fix


def test_a_service_with_other_settings_is_told_from_what_is_looked_at_here(tmp_path: Path) -> None:
    person = Person(tmp_path)
    with person.serving("--profile", "cpu"):
        told = person.run("doctor").out
        assert "it was started with another profile\n" in told
        same = person.run("doctor", env={"KOS_PROFILE": "cpu"}).out
        assert "was started with another" not in same


def test_a_node_that_the_service_leaves_alone(tmp_path: Path) -> None:
    write(tmp_path / "vault", NOTES)
    url = f"http://127.0.0.1:{closed_port()}"
    with program(tmp_path, "real", ollama_url=url, cache="memory"):
        every = list(checks(lambda: edge_config(tmp_path, ollama_url=url, cache="memory")))
        [check] = [one for one in every if "refuses connections" in one.found]
        assert (check.name, check.status) == ("node local", "broken"), "one fact, one line"
        assert "ollama serve" in check.fix
        # It answers the doctor, and the service knows nothing of that yet: only then is there more to say.
        with node_that_says(ollama(), port=int(url.rpartition(":")[2])):
            same = list(checks(lambda: edge_config(tmp_path, ollama_url=url, cache="memory")))
        with node_that_says(ollama()) as elsewhere:
            every = list(checks(lambda: edge_config(tmp_path, ollama_url=elsewhere, cache="memory")))
    [check] = [one for one in same if one.name == "node local"]
    assert check.status == "warning"
    left = rf"leaves it alone \(node 'local' at {url} refuses connections\); it is asked again in [0-2]\.\d s"
    assert re.fullmatch(rf"Ollama 0\.33\.0 at {url} \(local\); the service {left}", check.found)
    assert "the vault alone" in check.fix
    # At another address it is another node.
    here, there = [one for one in every if one.name == "node local"]
    assert (here.status, here.found) == ("ok", f"Ollama 0.33.0 at {elsewhere} (local)")
    assert there.status == "warning"
    assert re.fullmatch(rf"the service has it at {url} and {left}", there.found)


def test_a_node_that_is_to_be_tried() -> None:
    breaker = {"state": "half-open", "failures": 3, "last_error": "it broke off", "probe_seconds": None}
    url = "http://127.0.0.1:11434"
    closed = {"name": "rack", "url": url, "breaker": breaker | {"state": "closed"}}
    told = "leaves it alone after 3 failures in a row (it broke off); the next request goes there to see"
    assert _left_alone([closed, {"name": "desk", "url": url, "breaker": breaker}]) == {("desk", url): told}


def test_models_that_are_missing(tmp_path: Path) -> None:
    with node_that_says(ollama(models=(MODELS[0].upper(), "other:1b"))) as url:
        every = list(checks(lambda: with_options(tmp_path, ollama_url=url)))
    models = [(check.status, check.found, check.fix) for check in every if check.name == "model"]
    assert models == [
        ("ok", "llama3.2:3b for fast", ""),
        ("broken", "qwen2.5:7b for balanced is not on node local", "ollama pull qwen2.5:7b"),
        ("broken", "qwen3:8b for deep is not on node local", "ollama pull qwen3:8b"),
    ]


@pytest.mark.parametrize(
    ("version", "old"), [("0.17.0", True), ("0.9.12", True), ("0.17.1", False), ("0.17.1-rc0", False), ("", False)]
)
def test_an_old_ollama_has_known_holes(tmp_path: Path, version: str, old: bool) -> None:
    with node_that_says(ollama(version)) as url:
        every = list(checks(lambda: with_options(tmp_path, ollama_url=url)))
    warned = [check for check in every if check.name == "node local" and check.status == "warning"]
    assert bool(warned) is old
    if old:
        assert "0.17.1 or newer" in warned[0].fix


def test_a_model_that_spills_to_the_cpu(tmp_path: Path) -> None:
    for vram, status, told in (
        (100, "ok", "of 8.50"),
        (60, "warning", "llama3.2:3b for fast: 40.00 GiB of 100.00 GiB run on the CPU, which was not planned."),
    ):
        with node_that_says(ollama(vram=vram << 30)) as url:
            every = list(checks(lambda: with_options(tmp_path, ollama_url=url)))
        found = next(check for check in every if check.name == "memory" and "llama3.2:3b" in check.found)
        assert found.status == status
        assert told in found.found
        assert bool(found.fix) is (status == "warning")


OVER = """
[nodes.desk]
kind = "ollama"
url = "http://127.0.0.1:9"
class = "local"
[nodes.desk.memory]
vram_gib = 8
[runners.small]
node = "desk"
model = "mistral:7b"
quantisation = "Q4_K_M"
num_ctx = 8192
answer_tokens = 512
keep_alive = -1
[runners.twin]
node = "desk"
model = "llama3.1:8b"
quantisation = "Q4_K_M"
num_ctx = 8192
answer_tokens = 512
keep_alive = -1
[runners.wide]
node = "desk"
model = "codellama:13b"
quantisation = "Q4_K_M"
num_ctx = 16384
answer_tokens = 512
[runners.slow]
node = "desk"
model = "codellama:34b"
quantisation = "Q3_K_S"
num_ctx = 8192
answer_tokens = 512
offload = "cpu"
[runners.strange]
node = "desk"
model = "unheard:3b"
quantisation = "Q4_K_M"
num_ctx = 8192
answer_tokens = 512
[tiers]
fast = ["small"]
balanced = ["twin"]
deep = ["wide"]
"""


def test_a_profile_that_does_not_fit_its_card(tmp_path: Path) -> None:
    write(tmp_path, {"own.toml": OVER})
    every = list(checks(lambda: with_options(tmp_path, profile=str(tmp_path / "own.toml"), ollama_url="")))
    small, twin, wide, slow, whole = (check for check in every if check.name == "memory")
    assert (small.status, twin.status) == ("ok", "ok")
    assert wide.status == "broken"
    assert wide.found.startswith("codellama:13b for deep is not used: needs 20.")
    assert wide.fix.startswith("What fits: num_ctx = ") or wide.fix.startswith("Nothing smaller of it fits")
    assert slow.status == "ok"
    assert "in the CPU's memory, as declared" in slow.found
    assert "unheard:3b" not in "".join(check.found for check in every), "that its node is away has been told"
    assert whole.status == "warning"
    assert "cannot be loaded at once" in whole.found


def outward() -> str:
    """The address others would see this machine under, "" when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_an_ollama_that_others_can_reach(tmp_path: Path, host: str) -> None:
    with node_that_says(ollama(), host) as url:
        every = list(checks(lambda: with_options(tmp_path, ollama_url=url)))
    warned = [check for check in every if "other machines can reach it" in check.found]
    assert len(warned) == (1 if host == "0.0.0.0" and outward() else 0)
    assert all("OLLAMA_HOST" in check.fix for check in warned)


def test_a_node_of_another_kind(tmp_path: Path) -> None:
    with node_that_says({"/v1/models": {"object": "list", "data": [{"id": "here"}]}}) as url:
        profile = f"""
[nodes.shelf]
kind = "openai"
url = "{url}"
class = "local"
[runners.one]
node = "shelf"
model = "here"
quantisation = "Q4"
num_ctx = 4096
answer_tokens = 512
[runners.two]
node = "shelf"
model = "elsewhere"
quantisation = "Q4"
num_ctx = 4096
answer_tokens = 512
[tiers]
fast = ["one"]
balanced = ["two"]
"""
        write(tmp_path, {"own.toml": profile})
        config = with_options(tmp_path, profile=str(tmp_path / "own.toml"), ollama_url="")
        every = list(checks(lambda: config))
    names = [(check.name, check.status) for check in every[-3:]]
    assert names == [("node shelf", "ok"), ("model", "ok"), ("model", "broken")]
    assert every[-1].fix == "Serve it there, or name another."
