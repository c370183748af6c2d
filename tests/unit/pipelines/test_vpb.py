"""One command for every recipe."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines import __main__ as vpb

FOLDER = Path(vpb.__file__).parent


def test_every_recipe_is_a_command_and_says_what_it_does(capsys) -> None:
    assert vpb.main([]) == vpb.main(["--help"]) == 0
    said = capsys.readouterr().out
    recipes = {p.stem for p in FOLDER.glob("*.py")} - {"__init__", "__main__"}
    assert {name.replace("-", "_") for name in vpb.known_recipes()} == recipes
    for file in vpb.known_recipes().values():
        assert len(vpb.about(file)) > 20 and vpb.about(file) in said


@pytest.mark.parametrize("asked", ["report", "rep"])
def test_a_recipe_runs_under_its_name_or_a_beginning(asked, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vpb"])
    assert vpb.main([asked, "--run", str(tmp_path / "none")]) == 2
    assert "run.json does not exist" in capsys.readouterr().err
    assert sys.argv == ["vpb report", "--run", str(tmp_path / "none")]


def test_unknown_and_ambiguous_names_are_refused(capsys) -> None:
    assert vpb.main(["nothing"]) == vpb.main(["pr"]) == 2
    unknown, ambiguous = capsys.readouterr().err.splitlines()
    assert "there are " in unknown and "refcoco-full" in unknown
    assert "prepare-refcoco or preview" in ambiguous


def test_it_runs_as_a_module_and_is_fast(run_recipe) -> None:
    """Its help imports no recipe, so neither torch nor ray nor tyro."""
    code = "import sys; from pipelines.__main__ import main; main(['--help']); print(len(sys.modules) < 200)"
    assert run_recipe("-c", code, timeout_s=10).stdout.splitlines()[-1] == "True"
    assert "usage: vpb JOB" in run_recipe("-m", "pipelines", "--help", timeout_s=10).stdout
