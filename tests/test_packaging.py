"""The wheel: built, installed into a new environment, and used from elsewhere, as after `pipx install`."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.kos import PATIENCE, ROOT, Person
from tests.test_server_cli_plugin import BUILT, PLACE
from tests.vaults import write

PACKAGES = ("server", "context", "commands", "prompts", "inference")


def built(kind: str, source: Path, folder: Path) -> Path:
    build = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_all_that_the_program_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"knowledge_os", "knowledge_os.py"}
    for package in PACKAGES:
        files = [
            str(path.relative_to(ROOT))
            for path in (ROOT / package).rglob("*")
            if path.suffix in {".py", ".md", ".toml"} and "__pycache__" not in path.parts
        ]
        assert files
        assert {f"knowledge_os/{file}" for file in files} <= names
    assert not any(name.startswith("knowledge_os/tests") or "__pycache__" in name for name in names)


def test_the_installed_wheel_answers_from_the_sample_vault(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}, scheme="posix_prefix"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # What the wheel depends on is taken from here, since tests have no network; of the program itself nothing is.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    person = Person(tmp_path / "person")
    for start in (["-m", "knowledge_os"], ["-c", "from knowledge_os import main; main()"]):
        command = [str(python), "-I", *start, "orient", "--json"]
        done = subprocess.run(
            command, cwd="/", env=person.env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "[[Fermentation Chamber]]" in done.stdout
    where = subprocess.run(
        [str(python), "-I", "-c", "import sys, knowledge_os; print(knowledge_os.__file__)"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(home))
    scripts = next(site.glob("*.dist-info")) / "entry_points.txt"
    assert "kos = knowledge_os:main" in scripts.read_text()


@pytest.mark.parametrize("by", ["wheel", "sdist"])
def test_a_built_plugin_comes_with_the_package(by: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (".gitignore", "pyproject.toml", "README.md", "LICENSE", "knowledge_os.py"):
        shutil.copy(ROOT / file, source / file)
    write(source / "obsidian-plugin", {f"dist/{name}": text for name, text in BUILT.items()})
    write(
        source / "obsidian-plugin", {"dist/knowledge-os-1.2.3.zip": "", "node_modules/x/main.js": "", "src/main.ts": ""}
    )
    if by == "sdist":  # as tools build that are given no wheel
        packed_source = built("sdist", source, tmp_path / "sdist")
        subprocess.run(["tar", "-xf", str(packed_source), "-C", str(tmp_path)], check=True)
        (source,) = tmp_path.glob("knowledge_os-*")
    with zipfile.ZipFile(built("wheel", source, tmp_path / "wheel")) as packed:
        names = [name for name in packed.namelist() if name.startswith("knowledge_os/plugin")]
        packed.extractall(tmp_path / "site")
    assert sorted(names) == [f"knowledge_os/plugin/{name}" for name in sorted(BUILT)]
    person = Person(tmp_path / "person")
    start = [sys.executable, str(tmp_path / "site" / "knowledge_os.py"), "plugin", "install", "--yes"]
    done = subprocess.run(start, env=person.env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "installed Knowledge OS 1.2.3" in done.stdout
    assert (person.vault / PLACE / "main.js").read_text() == BUILT["main.js"]
