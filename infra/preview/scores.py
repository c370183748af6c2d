"""How similar CLIP finds every region and text of a preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from infra.errors import InputError
from operators.methods.variants import Variant
from operators.pictures.preview import Found, Scene
from operators.pixels.geometry import Boxes
from operators.prompts.text_color import text_color
from operators.score.assignment import Assign, assign, similarities

if TYPE_CHECKING:
    from torch import Tensor

    from operators.encode.encoder import ImageTextModel

VIEWS_PER_BATCH = 32


def score(
    scene: Scene, drawings: Sequence[Variant], prompts: Sequence[str], model: ImageTextModel, how: Assign
) -> Found:
    """Encode N regions in V drawings and M texts, and assign them.

    A drawing in the colour of the text is drawn, encoded and compared once for each text.

    Args:
        scene: the image with its regions.
        drawings: the drawings.
        prompts: what CLIP reads of every text.
        model: the encoder.
        how: regions are assigned.

    Raises:
        InputError: for words that the encoder does not know.
    """
    try:
        texts_MD = model.encode_texts(list(prompts))
    except ValueError as problem:
        raise InputError(f"--texts: {problem}") from problem
    colors = [text_color(text_D) for text_D in texts_MD.numpy()]

    def similarity_NM(drawing: Variant) -> Boxes:
        if not drawing.colored_by_text:
            return similarities(_features_ND(scene, drawing, model), texts_MD)
        columns = [
            similarities(_features_ND(scene, drawing.in_color(color), model), texts_MD[[text]])
            for text, color in enumerate(colors)
        ]
        return np.concatenate(columns, axis=1)

    similarity_VNM = np.stack([similarity_NM(drawing) for drawing in drawings])
    mean_NM = similarity_VNM.mean(axis=0)
    return Found(similarity_VNM, mean_NM, assign(mean_NM, how), colors)


def _features_ND(scene: Scene, drawing: Variant, model: ImageTextModel) -> Tensor:
    import torch

    from operators.encode.model_input import encode_inputs, model_input

    given = model_input(scene.views, drawing, model)
    chunks = [encode_inputs(model, drawing.attention, [part]) for part in given.parts(VIEWS_PER_BATCH)]
    return torch.cat(chunks) if chunks else torch.zeros(0, model.dimensions)
