"""Command lines and YAML files: which wins, and every mistake ends with exit 2 and one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.run.command_line import parse, run_job
from infra.run.options import Exit
from operators.datasets.formats.annotations import AnnotationError
from pipelines.prepare_refcoco import PrepareOptions
from pipelines.preview import PreviewOptions
from pipelines.refcoco_full import BenchmarkOptions

ROOT = Path(__file__).resolve().parents[4]
REQUIRED = ["--data", "d", "--out", "o"]


@pytest.fixture
def config(tmp_path: Path):
    """Write a YAML file and return the flags that name it."""

    def write(text: str | bytes) -> list[str]:
        path = tmp_path / "run.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--config", str(path)]

    return write


def test_flags() -> None:
    options = parse(BenchmarkOptions, [*REQUIRED, "--methods", "P", "P|I", "--limit", "5", "--plan"])
    assert (options.data, options.out, options.methods) == ("d", "o", ("P", "P|I"))
    assert (options.limit, options.plan, options.executor) == (5, True, "ray")
    assert parse(BenchmarkOptions, REQUIRED).limit is None


def test_a_yaml_file_alone(config) -> None:
    options = parse(BenchmarkOptions, config("data: d\nout: o\nmethods: [P, 'P|I']\nmax-quarantined: 0.5\n"))
    assert (options.data, options.methods, options.max_quarantined) == ("d", ("P", "P|I"), 0.5)
    assert options.proposals == ("gold", "detections")


def test_a_flag_wins_over_the_file(config) -> None:
    flags = config("data: d\nout: o\nthreads: 3\nproposals: [gold]\nlimit: 9\n")
    options = parse(BenchmarkOptions, ["--threads", "5", *flags, "--out", "other"])
    assert (options.threads, options.out) == (5, "other")
    assert (options.data, options.proposals, options.limit) == ("d", ("gold",), 9)


def test_the_file_may_leave_required_options_to_flags(config) -> None:
    assert parse(BenchmarkOptions, [*config("limit: 3"), *REQUIRED]).limit == 3


def test_one_value_of_a_list_needs_no_brackets(config) -> None:
    options = parse(BenchmarkOptions, [*config("methods: P|D4\nproposals: gold\nseeds: 7"), *REQUIRED])
    assert (options.methods, options.proposals, options.seeds) == (("P|D4",), ("gold",), (7,))


@pytest.mark.parametrize("flag", ["--methods", "--proposals", "--seeds"])
def test_a_list_that_decides_the_table_is_not_empty(flag: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse(BenchmarkOptions, [*REQUIRED, flag])
    assert "at least 1 item" in capsys.readouterr().err


def test_options_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(BenchmarkOptions, REQUIRED).data = "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datta: d", r"run\.yaml: unknown key 'datta'; nearest: data, "),
        ("5: d", r"run\.yaml: unknown key 5"),
        ("threads: many", r"run\.yaml: threads: "),
        ("threads: 0", r"run\.yaml: threads: "),
        ("limit: 2.5", r"run\.yaml: limit: "),
        ("executor: spark", r"run\.yaml: executor: "),
        ("data: 5", r"run\.yaml: data: "),
        ("proposals: [gold, flickr]", r"run\.yaml: proposals, item 2: Input should be 'gold'"),
        ("methods: []", r"run\.yaml: methods: "),
        ("max_quarantined: 1.5", r"run\.yaml: max_quarantined: "),
        ("- data", r"run\.yaml: expected `option: value` lines"),
        ("just words", r"run\.yaml: expected"),
        ("", r"run\.yaml: expected"),
        ("data: [", r"run\.yaml: not plain YAML"),
        (b"data: \xff\xfe\xfa", r"run\.yaml: not plain YAML"),
        ("a: b\0c", r"run\.yaml: not plain YAML"),
    ],
)
def test_a_bad_file_is_named_with_the_key(text: str | bytes, message: str, config) -> None:
    with pytest.raises(InputError, match=message):
        parse(BenchmarkOptions, [*config(text), *REQUIRED])


@pytest.mark.parametrize(
    "value",
    [
        '!!python/object/apply:os.mkdir ["{marker}"]',
        "!!python/object:infra.run.options.Options {{}}",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [a, b]",
        "!custom x",
    ],
)
def test_yaml_tags_run_nothing(value: str, config, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(InputError, match="not plain YAML"):
        parse(BenchmarkOptions, [*config("out: " + value.format(marker=marker)), *REQUIRED])
    assert not marker.exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--config: {tmp_path}/no\.yaml cannot be read"):
        parse(BenchmarkOptions, ["--config", f"{tmp_path}/no.yaml"])
    with pytest.raises(InputError, match="--config needs the path"):
        parse(BenchmarkOptions, [*REQUIRED, "--config"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "data"),
        (["--data", "d"], "out"),
        ([*REQUIRED, "--datta", "x"], "datta"),
        ([*REQUIRED, "--threads", "many"], "many"),
        ([*REQUIRED, "--executor", "spark"], "spark"),
        ([*REQUIRED, "--limit", "0"], "limit"),
        ([*REQUIRED, "--threads", "0"], "threads"),
        ([*REQUIRED, "--max-quarantined", "2"], "max_quarantined"),
        ([*REQUIRED, "--proposals", "flickr"], "flickr"),
    ],
)
def test_a_bad_flag_ends_with_2_and_the_job_is_not_started(flags: list[str], said: str, capsys) -> None:
    started = []
    try:
        status = run_job(BenchmarkOptions, started.append, flags)
    except SystemExit as problem:
        status = problem.code
    assert status == Exit.BAD_INPUT == 2
    printed = capsys.readouterr()
    assert said in printed.err + printed.out
    assert "Traceback" not in printed.err
    assert not started


def test_an_option_that_only_the_file_lacks_is_asked_for(config, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(BenchmarkOptions, config("data: d"))
    assert caught.value.code == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("problem", [InputError("no shards"), AnnotationError("f:1: bad line")])
def test_a_mistake_of_the_user_ends_with_one_line_and_2(problem: Exception, capsys) -> None:
    def job(_: object) -> int:
        raise problem

    assert run_job(BenchmarkOptions, job, REQUIRED) == 2
    assert capsys.readouterr().err == f"error: {problem}\n"


def test_an_interrupt_is_incomplete_and_a_defect_is_not_hidden(capsys) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    assert run_job(BenchmarkOptions, interrupted, REQUIRED) == Exit.INCOMPLETE == 5
    assert "the same command goes on from here" in capsys.readouterr().err

    def defective(_: object) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_job(BenchmarkOptions, defective, REQUIRED)


def test_the_status_of_the_job_is_returned() -> None:
    def job(options: PrepareOptions) -> Exit:
        assert options.images == "i"
        return Exit.QUARANTINE_ABOVE_LIMIT

    assert run_job(PrepareOptions, job, ["--images", "i", "--out", "o"]) == 3


def test_help_names_every_option(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(BenchmarkOptions, ["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for name in BenchmarkOptions.model_fields:
        assert f"--{name.replace('_', '-')}" in printed


def test_a_renamed_option_works_for_one_release_with_a_note(tmp_path, capsys):
    wanted = ["--image", "a.png", "--out", "out"]
    for flags in (["--variants", "P", "C1"], ["--variants=P", "C1"]):
        assert parse(PreviewOptions, [*wanted, *flags]).drawings == ("P", "C1")
        assert "variants is called drawings now" in capsys.readouterr().err
    config = tmp_path / "c.yaml"
    config.write_text("variants: [P, C1]\n")
    assert parse(PreviewOptions, [*wanted, "--config", str(config)]).drawings == ("P", "C1")
    assert "variants is called drawings now" in capsys.readouterr().err
    parse(PreviewOptions, [*wanted, "--drawings", "P"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize("listed", ["[P|D4,S]", "[I, 'P|D4', R]", "\n- P\n- RS"])
def test_a_method_that_yaml_cut_at_its_comma_is_explained(config, listed: str) -> None:
    with pytest.raises(InputError, match=r"run\.yaml: methods: YAML reads .* as two items .* quote"):
        parse(BenchmarkOptions, [*config(f"methods: {listed}"), *REQUIRED])


def test_a_package_that_is_missing_is_named_with_the_interpreter(capsys) -> None:
    def lacks(_: BenchmarkOptions) -> int:
        raise ModuleNotFoundError("No module named 'spacy'", name="spacy.tokens")

    assert run_job(BenchmarkOptions, lacks, REQUIRED) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert f"the Python at {sys.executable} has no spacy.tokens" in said and "pip install" in said


def test_a_module_of_ours_that_is_missing_is_a_fault_of_ours() -> None:
    def lacks(_: BenchmarkOptions) -> int:
        raise ModuleNotFoundError("No module named 'operators.nothing'", name="operators.nothing")

    with pytest.raises(ModuleNotFoundError):
        run_job(BenchmarkOptions, lacks, REQUIRED)


RECIPES = sorted(path for path in (ROOT / "pipelines").glob("[a-z]*.py"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_bare_interpreter_is_told_how_to_get_the_packages(recipe: Path) -> None:
    """As on a cluster whose image lacks the package: no site-packages at all."""
    run = subprocess.run([sys.executable, "-S", str(recipe), "--help"], capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert f"error: the Python at {sys.executable} has no " in run.stderr
    assert "Traceback" not in run.stderr
