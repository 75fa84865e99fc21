"""What holds for the repository as a whole: its lock, its packages, its size, its words."""

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "rgdiff_core"

# A package, or a module beside the packages, imports what stands on lower floors alone.
FLOORS = (
    ("devices", "spec", "statistics", "terminal"),
    ("files", "seeds"),
    ("bases", "networks"),
    ("extensions", "lattice", "schedules"),
    ("colors", "data"),
    ("presets", "process"),
    ("denoisers", "spectra"),
    ("renormalization", "sampling"),
    ("likelihood",),
    ("evaluation",),
    ("search",),
    ("training",),
    ("pretraining",),
    ("study",),
    ("cli",),
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}

MAX_ARROWS = 153  # from package to package of the core
MAX_LINES = 400
KIT = ("shared", "sampling", "frame")  # of the pages: each imports only those before it
MAX_PAGE_LINES = 150


def sources(*suffixes: str) -> Iterator[Path]:
    """Find the repository's own source files."""
    yield from (path for path in ROOT.glob("*.py") if ".py" in suffixes)
    for folder in ("benchmarks", "pages", "rgdiff_core", "tests"):
        yield from (p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes and p.is_file())


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Give the full name of every module that a file of the repository imports.

    What follows `from package import` is taken for a module of that package: for
    `from rgdiff_core import bases` the name is `rgdiff_core.bases`.
    """
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*base, node.module) if node.module else base
            yield from (".".join((*module, alias.name)) for alias in node.names)


def package_of(path: Path) -> str:
    """Name the package of the core that a file is in, or the module that it is."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def import_graph() -> dict[str, set[str]]:
    """Collect which packages each package imports, itself left out."""
    graph: dict[str, set[str]] = {}
    for path in CORE.rglob("*.py"):
        package = package_of(path)
        if package != "__init__":
            names = [name.split(".") for name in imports(path)]
            others = {(*name, "")[1] for name in names if name[0] == CORE.name}
            graph.setdefault(package, set()).update(others - {package})
    return graph


def arrows() -> list[str]:
    """List which package of the core imports which other one."""
    return [f"{one} → {other}" for one, others in import_graph().items() for other in others]


def page_of(path: Path) -> str:
    """Name the page that a file of `pages/` belongs to, or the part of the kit."""
    return path.relative_to(ROOT / "pages").parts[0].removesuffix(".py").lstrip("_")


def test_requirements_are_exported_from_the_lock():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    export = re.search(r"^EXPORT := (.*)$", makefile, re.MULTILINE)
    assert export is not None
    command = [find_uv_bin(), "--offline", "--no-config", *export[1].split()]
    exported = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert exported.stdout == (ROOT / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["uv.lock", "requirements.txt"])
def test_packages_come_from_pypi_alone(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    hosts = set(re.findall(r"\w+://[^/\"\s]*", text))
    assert hosts <= {"https://pypi.org", "https://files.pythonhosted.org"}
    assert not re.search(r"find-links|index-url|\bpath = ", text)


def test_the_lock_fits_pyproject():
    command = [find_uv_bin(), "--offline", "--no-config", "lock", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_core_draws_nothing():
    program = "import rgdiff_core, sys; print({'streamlit', 'plotly'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


def test_the_core_imports_no_page():
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in CORE.rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in ("app", "pages", "plotly", "streamlit")
    }
    assert wrong == set()


def test_every_package_has_its_floor():
    assert set(import_graph()) == set(FLOOR)


def test_the_architecture_names_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for heading, folder in (
        ("## The packages of `rgdiff_core`", CORE),
        ("## The app", ROOT / "pages" / "_shared"),
        ("## The frame", ROOT / "pages" / "_frame"),
        ("## A draw", ROOT / "pages" / "_sampling"),
    ):
        rows = re.findall(
            r"^\| (`.*?) \|", re.split(r"\n\*\*|\n## ", text.split(heading)[1])[0], re.MULTILINE
        )
        named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
        parts = [p for p in folder.iterdir() if p.suffix == ".py" or any(p.glob("*.py"))]
        there = {part.name.removesuffix(".py") for part in parts} - {"__init__"}
        assert there - named == set() and {n for n in named if "/" not in n} - there == set()


def test_packages_import_only_what_stands_below():
    wrong = [
        f"{package} imports {other}"
        for package, others in import_graph().items()
        for other in others
        if FLOOR[other] >= FLOOR[package]
    ]
    assert wrong == []


def test_packages_know_few_others():
    """Whoever needs one more looks at those there are: docs/architecture.md counts them."""
    found = sorted(arrows())
    assert len(found) <= MAX_ARROWS, "\n".join(found)


def test_packages_are_imported_by_their_own_names():
    graph = import_graph()
    unknown = {package: others - set(graph) for package, others in graph.items()}
    assert {package: names for package, names in unknown.items() if names} == {}


def test_the_command_line_is_in_one_package():
    wrong = [
        str(path.relative_to(ROOT))
        for path in CORE.rglob("*.py")
        if package_of(path) != "cli" and "argparse" in set(imports(path))
    ]
    assert wrong == []


def test_a_page_imports_of_another_only_what_its_address_says():
    """And a part of the kit, which all pages use, only what stands below it."""
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "pages").rglob("*.py")
        for name in imports(path)
        if name.startswith("pages._") and not _may_import(page_of(path), name.split("."))
    }
    assert wrong == set()


def _may_import(page: str, name: list[str]) -> bool:
    other = name[1].removeprefix("_")
    if page in KIT:
        return other in KIT[: KIT.index(page) + 1]
    return other in (*KIT, page) or name[2] == "state"


def test_files_are_short():
    limits = {
        path: MAX_PAGE_LINES if path.parent == ROOT / "pages" else MAX_LINES
        for path in sources(".py", ".js", ".css")
    }
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}
    assert {p.name: n for p, n in lines.items() if n > limits[p]} == {}


def test_nothing_is_unpickled():
    shipped = [path for path in sources(".py") if "tests" not in path.relative_to(ROOT).parts]
    wrong = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in shipped
        for word in ("pickle.load", "torch.load", "allow_pickle=True")
        if word in ast.unparse(parse(path))
    }
    wrong |= {
        f"{path.relative_to(ROOT)}: {name}"
        for path in shipped
        for name in imports(path)
        if name.split(".")[0] == "pickle" or name == "torch.load"
    }
    assert wrong == set()


def public_names(module: ast.Module) -> list[str] | None:
    """Read a module's `__all__`, None where it has none."""
    for node in module.body:
        if isinstance(node, ast.Assign) and "__all__" in [ast.unparse(t) for t in node.targets]:
            return list(ast.literal_eval(node.value))
    return None


def test_every_module_says_what_is_public():
    modules = (path for path in CORE.rglob("*.py") if path.stat().st_size)
    wrong = [str(p.relative_to(ROOT)) for p in modules if public_names(parse(p)) is None]
    assert wrong == []


def test_every_public_name_has_a_docstring():
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in CORE.rglob("*.py")
        for module in [parse(path)]
        for node in module.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and node.name in (public_names(module) or [])
        and not ast.get_docstring(node)
    ]
    assert wrong == []


def test_a_function_has_one_docstring_and_no_other_texts():
    """A second text is one that belongs to another function."""
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources(".py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body[1:]
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]
    assert wrong == []


def test_the_site_builds_without_a_warning(tmp_path: Path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    done = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "noise_and_spectra.py",
        "own_schedule.py --samples 4",
        "five_minute_training.py --steps 3",
        "phi4_ess.py --samples 8",
    ],
)
def test_examples_run(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script, *options = words.split()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *options])
    runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
