"""The README's table is replaced between its marks and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import InputError
from infra.readme import quickstart as quickstart_readme
from infra.readme.quickstart import MARKS, write_readme


@pytest.mark.parametrize("old", ["", "\n", "\n| a |\n|---|\n| 1 |\n"])
def test_only_the_table_changes(old: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(quickstart_readme, "readme_table", lambda run: "| b |\n|---|\n| 2 |\n")
    monkeypatch.setattr(quickstart_readme, "draw_pictures", dict)
    (tmp_path / "pipelines").mkdir()
    file = tmp_path / "README.md"
    file.write_text(f"# Title\n\ntext\n{MARKS.begin}{old}{MARKS.end}\n\nmore\n")
    for _ in range(2):
        write_readme(str(tmp_path), "run")
        assert (
            file.read_text() == f"# Title\n\ntext\n{MARKS.begin}\n| b |\n|---|\n| 2 |\n{MARKS.end}\n\nmore\n"
        )
    assert MARKS.inside(file.read_text()) == "| b |\n|---|\n| 2 |\n"


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(InputError, match="has no lines"):
        MARKS.inside("# Title\n")
