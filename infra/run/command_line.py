"""Command lines: options read by tyro, with a YAML file for any part of them, and one way to end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_origin

import tyro
import yaml
from pydantic import TypeAdapter, ValidationError

import infra
from infra.errors import InputError
from infra.files import storage
from infra.files.storage_retries import StorageError, StorageOutage
from infra.run.options import Exit, Options
from operators.datasets.formats.annotations import AnnotationError
from operators.methods.method import POST_PROCESSING
from operators.rows.registry import nearest

OURS = ("infra", "operators", "pipelines")
OptionsT = TypeVar("OptionsT", bound=Options)


def run_job(
    options_type: type[OptionsT], job: Callable[[OptionsT], int], argv: Sequence[str] | None = None
) -> int:
    """Read the command line, run a job, and turn the user's mistakes into exit 2 with one clear line."""
    try:
        status = Exit(job(parse(options_type, list(sys.argv[1:] if argv is None else argv))))
    except (InputError, AnnotationError, StorageError) as problem:
        print(f"error: {problem}", file=sys.stderr, flush=True)
        status = Exit.BAD_INPUT
    except ModuleNotFoundError as problem:
        if (problem.name or "").split(".")[0] in OURS:
            raise
        print(f"error: {infra.lacking(problem.name or str(problem))}", file=sys.stderr, flush=True)
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
    values, argv = _config_values(options_type, [_present_flag(options_type, text) for text in argv])
    default: Any = tyro.MISSING
    if values:
        missing = {n: tyro.MISSING for n, f in options_type.model_fields.items() if f.is_required()}
        default = options_type.model_construct(**{**missing, **values})
    about = f"{options_type.about()}\n\n--config FILE (YAML) sets any of these; a flag wins over the file."
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


def _present_flag(options_type: type[Options], text: str) -> str:
    """Return a flag under its present name; one that was renamed works for one release, with a note."""
    flag, equals, value = text.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    if not flag.startswith("--") or name not in options_type.RENAMED:
        return text
    return f"--{_present_name(options_type, name).replace('_', '-')}{equals}{value}"


def _present_name(options_type: type[Options], name: str) -> str:
    present = options_type.RENAMED.get(name, name)
    if present != name:
        print(
            f"note: {name} is called {present} now; the old name goes with the next release", file=sys.stderr
        )
    return present


def _checked_name(options_type: type[Options], url: str, key: Any) -> str:
    name = _present_name(options_type, str(key).replace("-", "_"))
    if name not in options_type.model_fields:
        raise InputError(f"{url}: unknown key {key!r}; nearest: {nearest(name, options_type.model_fields)}")
    return name


def _require_unsplit(url: str, name: str, value: Any) -> None:
    """Explain a method that YAML has cut at its comma: `methods: [P|D4,S]` is a list of two."""
    for first, second in pairwise(value if name == "methods" and isinstance(value, list) else []):
        if isinstance(first, str) and second in POST_PROCESSING:
            raise InputError(
                f"{url}: {name}: YAML reads {first!r} and {second!r} as two items of the list; quote what "
                f"has a comma in it: '{first},{second}'"
            )


def _checked_value(options_type: type[Options], url: str, name: str, value: Any) -> Any:
    field = options_type.model_fields[name]
    if get_origin(field.annotation) is tuple and not isinstance(value, list):
        value = [value]  # one of them needs no brackets
    _require_unsplit(url, name, value)
    try:
        annotated: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        return TypeAdapter(annotated).validate_python(value)
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        place = "".join(f", item {part + 1}" for part in detail["loc"] if isinstance(part, int))
        raise InputError(f"{url}: {name}{place}: {detail['msg']} (found {detail['input']!r})") from problem
