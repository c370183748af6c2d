"""Command lines: frozen pydantic models read by tyro, with a YAML file for any part of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Any, Literal, Self, TypeVar, get_origin

import tyro
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from infra import storage
from infra.errors import InputError
from infra.storage_faults import StorageError, StorageOutage
from operators.datasets.formats.annotations import AnnotationError
from operators.methods.method import Proposals

Dataset = Literal["refcoco", "refcoco+", "refcocog"]
SplitName = Literal["val", "testA", "testB", "test"]
DATASETS: tuple[Dataset, ...] = ("refcoco", "refcoco+", "refcocog")
SPLITS: tuple[SplitName, ...] = ("val", "testA", "testB", "test")


class Exit(IntEnum):
    """What the exit status of every job means."""

    COMPLETE = 0
    CRASH = 1
    BAD_INPUT = 2
    QUARANTINE_ABOVE_LIMIT = 3
    INCOMPLETE = 5


class Options(BaseModel):
    """Base of the options of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _hold_no_credentials(self) -> Self:
        """Options are written to `run.json`; StorageError says what to do instead."""
        for _, value in self:
            for text in value if isinstance(value, tuple) else (value,):
                storage.require_no_credentials(str(text))
        return self


class ExecutorOptions(Options):
    """Where a job runs."""

    executor: Literal["ray", "inline"] = "ray"
    """Ray (this machine or the cluster of the job), or this process alone."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Torch threads of one model actor; recorded, since it decides the last bits of sums on CPU."""
    actors: Annotated[int, Field(ge=0)] = 0
    """Model actors; 0 for as many as there is room for."""
    shared_filesystem: bool = False
    """Local paths are the same files on every node."""
    wait_for_resources_s: Annotated[float, Field(ge=0)] | None = None
    """How long to wait for nodes to join; by default not at all, or 900 s where there is an autoscaler."""


class PrepareOptions(ExecutorOptions):
    """Make shards, a manifest and caption banks from annotation files and a folder of images."""

    images: str
    """Folder of the pictures (COCO train2014)."""
    out: str
    """Folder for the shards; any fsspec URL."""
    refer: str | None = None
    """Folder with REFER's files: refcoco/, refcoco+/, refcocog/, or the files of one dataset."""
    reclip: str | None = None
    """Folder with ReCLIP's jsonl files; a split found here is not read from REFER's files."""
    detections: str | None = None
    """Folder with <dataset>_dets_dict.json; by default the two folders above are looked into."""
    datasets: tuple[Dataset, ...] = DATASETS
    splits: tuple[SplitName, ...] = SPLITS
    parser: str | None = None
    """spaCy pipeline that parses the expressions for R (en_core_web_sm); by default they are not parsed."""
    parses: str | None = None
    """File with parses (JSON lines or Parquet, see operators.datasets.formats.parses); wins over --parser."""
    images_per_shard: Annotated[int, Field(ge=1)] = 32


class BenchmarkOptions(ExecutorOptions):
    """Score methods on prepared shards and print the table of accuracies."""

    data: str
    """Folder made by prepare_refcoco.py; any fsspec URL."""
    out: str
    """Folder for the run's own files: tables and run.json."""
    artifacts: str | None = None
    """Folder of reusable results (features, predictions); <out>/artifacts by default, and may be shared."""
    datasets: tuple[str, ...] = ()
    """Datasets to score; all that were prepared by default."""
    splits: tuple[str, ...] = ()
    """Splits to score; all that were prepared by default."""
    proposals: Annotated[tuple[Proposals, ...], Field(min_length=1)] = ("gold", "detections")
    """Where candidate boxes come from; every source is a line of its own."""
    methods: Annotated[tuple[str, ...], Field(min_length=1)] = ("first-box", "P")
    """Names from the catalogue (fgvp-table, falip-table: whole tables), or paper notation (quote it)."""
    encoders: tuple[str, ...] = ()
    """ARCHITECTURE:TAG, ARCHITECTURE:FILE, a model folder or clip-shapes; a comma joins an ensemble.
    By default a catalogued method has its published ensemble, paper notation ViT-B-32:openai."""
    segmenter: str = "vit_h:published"
    """SAM for drawings with masks: vit_b, vit_l or vit_h with `:published`, :FILE or :URL; or sam-shapes."""
    masks: Literal["box", "exact"] = "box"
    """Masks of drawings that use them: SAM prompted with each box, or the dataset's own."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    """Seeds of the caption draw of S; tables print mean and spread."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many images, rounded up to whole shards."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Share of expressions that may be set aside before the job ends with exit 3."""
    retry_quarantined: bool = False
    """Make parts anew that hold expressions set aside for a cause found while running, not when preparing."""
    plan: bool = False
    """Print the plan and stop."""


OptionsT = TypeVar("OptionsT", bound=Options)


def main(
    options_type: type[OptionsT], job: Callable[[OptionsT], int], argv: Sequence[str] | None = None
) -> int:
    """Read the command line, run a job, and turn the user's mistakes into exit 2 with one clear line."""
    try:
        status = Exit(job(parse(options_type, list(sys.argv[1:] if argv is None else argv))))
    except (InputError, AnnotationError, StorageError) as problem:
        print(f"error: {problem}", file=sys.stderr, flush=True)
        status = Exit.BAD_INPUT
    except StorageOutage as problem:
        print(f"error: {problem}; the same command goes on from here", file=sys.stderr, flush=True)
        status = Exit.INCOMPLETE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr, flush=True)
        status = Exit.INCOMPLETE
    except SystemExit as left:  # a bad flag, or --help
        if not left.code:
            raise
        status = Exit.BAD_INPUT
    # Ray's job command returns 1 for every failure, so the log's last line says which it was.
    print(f"exit {int(status)} ({status.name.lower().replace('_', ' ')})", flush=True)
    return status


def parse(options_type: type[OptionsT], argv: list[str]) -> OptionsT:
    """Read `--config FILE` (YAML) and flags; a flag wins over the file.

    Raises:
        InputError: for an unreadable file, an unknown key or a bad value, naming file and key.
        StorageError: for an address with credentials in it.
        SystemExit: with status 2, from tyro, for a bad flag.
    """
    for text in argv:
        storage.require_no_credentials(text)  # before anything repeats it
    values, argv = _config_values(options_type, argv)
    default: Any = tyro.MISSING
    if values:
        missing = {n: tyro.MISSING for n, f in options_type.model_fields.items() if f.is_required()}
        default = options_type.model_construct(**{**missing, **values})
    about = f"{options_type.__doc__}\n\n--config FILE (YAML) sets any of these; a flag wins over the file."
    options = tyro.cli(options_type, args=argv, default=default, description=about)
    try:
        return options_type.model_validate(options.model_dump())
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        name = str(detail["loc"][0]).replace("_", "-")
        raise InputError(f"--{name}: {detail['msg']} (found {detail['input']!r})") from problem


def _config_values(options_type: type[Options], argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    argv = [
        part for text in argv for part in (text.split("=", 1) if text.startswith("--config=") else [text])
    ]
    if "--config" not in argv:
        return {}, argv
    position = argv.index("--config")
    if position + 1 == len(argv):
        raise InputError("--config needs the path of a YAML file")
    url = argv[position + 1]
    try:
        content = yaml.safe_load(storage.read_bytes(url))
    except OSError as problem:
        raise InputError(f"--config: {url} cannot be read: {problem.strerror or problem}") from problem
    except yaml.YAMLError as problem:
        raise InputError(f"{url}: not plain YAML: {problem}") from problem
    if not isinstance(content, dict):
        raise InputError(f"{url}: expected `option: value` lines")
    values = {_checked_name(options_type, url, key): value for key, value in content.items()}
    checked = {name: _checked_value(options_type, url, name, value) for name, value in values.items()}
    return checked, argv[:position] + argv[position + 2 :]


def _checked_name(options_type: type[Options], url: str, key: Any) -> str:
    name = str(key).replace("-", "_")
    if name not in options_type.model_fields:
        raise InputError(f"{url}: unknown key {key!r}; known: {', '.join(options_type.model_fields)}")
    return name


def _checked_value(options_type: type[Options], url: str, name: str, value: Any) -> Any:
    field = options_type.model_fields[name]
    if get_origin(field.annotation) is tuple and not isinstance(value, list):
        value = [value]  # one of them needs no brackets
    try:
        annotated: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        return TypeAdapter(annotated).validate_python(value)
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        place = "".join(f", item {part + 1}" for part in detail["loc"] if isinstance(part, int))
        raise InputError(f"{url}: {name}{place}: {detail['msg']} (found {detail['input']!r})") from problem
