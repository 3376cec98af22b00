"""What must hold for the repository as a whole: locks, examples, documents."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from commands.gather import WAYS
from scripts.release import versions
from server.body import CommandBody, ContextBody
from server.errors import STATUS
from tests.kos import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PLUGIN = ROOT / "obsidian-plugin"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_by_hash_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    pins = re.findall(r"^([a-z0-9.-]+(?:\[[a-z,]+\])?)==\S+", text, re.MULTILINE | re.IGNORECASE)
    assert pins
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE | re.IGNORECASE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_of_the_plugin_pins_every_package_by_hash_and_names_no_registry() -> None:
    packages = json.loads((PLUGIN / "package-lock.json").read_text("utf-8"))["packages"]
    ours = packages.pop("")
    assert packages
    for name, package in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package.get("integrity", "")), name
        package.pop("funding", None)
    assert "://" not in json.dumps([ours, packages])
    settings = (PLUGIN / ".npmrc").read_text("utf-8")
    assert "omit-lockfile-registry-resolved=true" in settings.splitlines()
    assert "registry=" not in settings
    assert "://" not in settings


def test_the_plugin_and_the_program_have_one_version() -> None:
    found = versions(PLUGIN)
    assert len(found) == 4
    assert len(set(found.values())) == 1, found


def test_every_dependency_has_its_reason_and_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    decisions, lock = (ROOT / "docs/decisions.md").read_text(), (ROOT / "requirements.lock").read_text()
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    for requirement in (*project["dependencies"], *extras):
        name = re.match(r"[a-z0-9-]+", requirement)[0]  # type: ignore[index]
        assert f"| `{name}` |" in decisions
        assert re.search(rf"^{name}==", lock, re.MULTILINE)


def test_tests_are_flat_files() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_module_says_what_it_is() -> None:
    for package in ("server", "context", "commands", "prompts", "inference", "tests", "benchmarks"):
        for file in (ROOT / package).glob("*.py"):
            first = file.read_text().lstrip().splitlines()[0]
            assert first.startswith(('"""', "#!")), file


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "examples/README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), (document.name, target)


def test_the_http_document_names_every_field_way_and_code() -> None:
    text = (ROOT / "docs/http.md").read_text()
    for name in (*CommandBody.model_fields, *ContextBody.model_fields, *STATUS):
        assert f"`{name}`" in text, name
    assert all(re.search(rf"\b{way}\b", text) for way in WAYS)
    for code, status in STATUS.items():
        assert re.search(rf"`{code}`[^|]*\| {status}\b", text), code


def test_the_schemas_name_every_event() -> None:
    from commands.events import NAMES

    schemas = {path.stem: json.loads(path.read_text()) for path in (ROOT / "docs/schema").glob("*.json")}
    assert set(NAMES) <= set(schemas)
