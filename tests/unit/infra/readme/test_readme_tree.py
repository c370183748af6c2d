"""The commented tree in README.md is the tree that there is."""

from __future__ import annotations

from pathlib import Path

from infra.readme import tree

ROOT = Path(__file__).resolve().parents[4]


def test_readme_shows_the_present_tree() -> None:
    """If this fails: make tree."""
    assert tree.MARKS.inside((ROOT / "README.md").read_text(encoding="utf-8")) == tree.tree()


def test_every_package_and_recipe_has_a_line_with_a_comment() -> None:
    lines = tree.tree().splitlines()[1:-1]
    packages = [p for top in ("operators", "infra") for p in (ROOT / top).rglob("*/__init__.py")]
    recipes = list((ROOT / "pipelines").glob("[a-z]*.py"))
    assert len(lines) == len(tree.TOP) + len(packages) + len(recipes)
    assert all(len(line) <= 125 and line[tree.WIDTH - 1] == " " and line[tree.WIDTH :] for line in lines)


def test_a_new_room_appears_where_the_flow_has_it(tmp_path: Path) -> None:
    for name in ("operators/zoo", "operators/score", "operators/datasets", "infra", "pipelines"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "__init__.py").write_text(f'"""About {name}. More."""\n')
    lines = [line.split() for line in tree.tree(tmp_path).splitlines()]
    names = [words[0] for words in lines if words[0] in ("zoo/", "score/", "datasets/")]
    assert names == ["datasets/", "score/", "zoo/"]
