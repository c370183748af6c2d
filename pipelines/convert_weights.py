"""Convert one of OpenAI's published CLIP files (TorchScript) to safetensors.

Example: python pipelines/convert_weights.py --source ViT-B-32.pt --out weights/ViT-B-32.safetensors
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from infra.errors import InputError
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.weights.checkpoint_card import write_card
from infra.weights.fetch import fetch, file_facts, written_whole
from infra.weights.published_checkpoints import PUBLISHED, Published, with_hash

CHILD = Path(__file__).resolve().parents[1] / "infra" / "weights" / "torchscript_child.py"
CHILD_LIMIT_S = 600
CHILD_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
SUFFIX = ".safetensors"


class ConvertWeightsOptions(Options):
    """Convert one of OpenAI's published CLIP files (TorchScript, .pt) to safetensors, with a card."""

    source: str
    """The published file; a path or URL."""
    out: str
    """File to write, on this machine; its name ends in .safetensors."""


def convert_weights(options: ConvertWeightsOptions, published: Sequence[Published] = PUBLISHED) -> int:
    """Convert a checkpoint and return the exit status.

    Raises:
        InputError: if the file is none of the published archives, before anything in it is read; or if it
            cannot be converted.
    """
    if not options.out.endswith(SUFFIX) or not storage.is_local(options.out):
        raise InputError(f"--out {options.out}: name a local file that ends in {SUFFIX}")
    facts = file_facts(storage.absolute(options.source))
    known = with_hash(facts.sha256, published)
    if known is None or known.storage != "torchscript":
        names = ", ".join(entry.name for entry in published if entry.storage == "torchscript")
        raise InputError(
            f"--source {options.source}: its SHA-256 {facts.sha256} is none of those of {names}; "
            "a TorchScript archive is a program, so only these published ones are opened"
        )
    out = storage.absolute(options.out)
    with written_whole(out) as temporary:
        _run_child(_on_this_node(options.source, facts.sha256), temporary)
        _require_fits(temporary, known)
    maker = f"pipelines/convert_weights.py from {known.name}, SHA-256 {known.sha256}"
    card = write_card(
        out, label="real", architecture=known.architecture, quick_gelu=known.quick_gelu, made_by=maker
    )
    print(f"{known.name}: {out}, SHA-256 {card.sha256}", flush=True)
    return Exit.COMPLETE


def _on_this_node(source: str, sha256: str) -> str:
    return storage.absolute(source) if storage.is_local(source) else fetch(source, sha256)


def _run_child(source: str, out: str) -> None:
    """Extract the tensors in a process that inherits no module path and no secrets of the environment."""
    command = [sys.executable, "-I", str(CHILD), source, out]
    environment = {name: os.environ[name] for name in CHILD_ENVIRONMENT if name in os.environ}
    try:
        child = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHILD_LIMIT_S,
        )
    except subprocess.TimeoutExpired as problem:
        raise InputError(f"{source}: not converted within {CHILD_LIMIT_S} s") from problem
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise InputError(f"{source}: conversion failed: {last}")


def _require_fits(path: str, known: Published) -> None:
    from operators.encode.encoders.open_clip import require_clip_fits

    try:
        require_clip_fits(path, known.architecture, known.quick_gelu)
    except ValueError as problem:
        raise InputError(f"{known.name}: {problem}") from problem


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(ConvertWeightsOptions, convert_weights, argv)


if __name__ == "__main__":
    sys.exit(main())
