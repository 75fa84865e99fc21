"""The library as its users install it: a wheel, in an environment without the app."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
# Beside uv's own cache, from which the packages are linked and not copied.
HOME = ROOT / ".cache" / "installed"


@pytest.fixture(scope="module")
def python() -> Path:
    """Install the wheel and what it needs, at the locked versions, and return the interpreter."""
    command = [find_uv_bin(), "sync", "--quiet", "--frozen", "--no-dev", "--no-editable"]
    subprocess.run(
        [*command, "--reinstall-package", "rgdiff"],
        cwd=ROOT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(HOME)},
        check=True,
    )
    return HOME / "bin" / "python"


def run(python: Path, folder: Path, program: str) -> str:
    """Run a program away from the repository and return what it prints."""
    done = subprocess.run(
        [python, "-c", program], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_library_is_typed_versioned_and_without_the_app(python: Path, tmp_path: Path):
    program = """
import importlib.util, pathlib, sys
import importlib.metadata as metadata
import rgdiff_core as rg
assert rg.__version__ == metadata.version("rgdiff")
assert (pathlib.Path(rg.__file__).parent / "py.typed").is_file()
assert importlib.util.find_spec("streamlit") is None
inside = pathlib.Path(rg.__file__).is_relative_to(sys.prefix)
print(inside, *[model.name for model in rg.list_pretrained()])
"""
    inside, *models = run(python, tmp_path, program).split()
    assert inside == "True"
    assert models and all(name.startswith("phi4-") for name in models)


def test_a_command_names_what_is_not_installed(python: Path, tmp_path: Path):
    done = subprocess.run(
        [python.with_name("rgdiff"), "sweep", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("rgdiff: this needs ") and "pip install" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_examples_of_the_readme_run(python: Path, tmp_path: Path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    assert blocks
    run(
        python,
        tmp_path,
        "\n".join(f"exec({code!r}, {{'__name__': '__main__'}})" for code in blocks),
    )
