"""Rendered prompts and encoder inputs against the reference programs: pixels equal, tensors to 1e-5."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from operators.pixels.masks import decode_masks, encode_masks
from operators.pixels.resize import canvas_size_px, pillow_resize
from operators.prompts import find_prompt
from operators.prompts.canvas import Canvas
from operators.prompts.photo import Photo
from operators.prompts.render import Pictures, canvas_to_input, native_to_input, render
from operators.rows.records import MASKS

FINAL_ATOL = 1e-5
MAX_LEVELS = 255.0
# Float32 kernels of another instruction set round otherwise; the references were made with this one.
SAME_BYTES = torch.backends.cpu.get_cpu_capability() == "AVX512"
# What the published code calls by a name that is taken here.
NAMES = {"crop": "fgvp_crop"}


def start_image(golden, scene: str) -> torch.Tensor:
    about = golden.json("fgvp_configs.json")["scenes"][scene]
    image = torch.from_numpy(golden.arrays("images.npz")[about["image"]])
    if about["sam_scale"]:
        image = pillow_resize(image, canvas_size_px(*image.shape[:2], 1024, "long"))
    assert hashlib.sha256(image.numpy().tobytes()).hexdigest() == about["input_sha256"]
    return image


def start_masks(golden, scene: str) -> torch.Tensor:
    inputs, (height, width) = golden.arrays("fgvp_inputs.npz"), start_size(golden, scene)
    if f"{scene}__mask_logits_f16" in inputs:
        return torch.from_numpy(inputs[f"{scene}__mask_logits_f16"].astype(np.float32))
    bits = np.unpackbits(inputs[f"{scene}__mask_packbits"], axis=-1, count=width)
    assert bits.shape[1:] == (height, width)
    return torch.from_numpy(bits.astype(bool))


def start_size(golden, scene: str) -> tuple[int, int]:
    height, width = golden.json("fgvp_configs.json")["scenes"][scene]["input_hw"]
    return height, width


def through_storage(masks_NHW: torch.Tensor) -> torch.Tensor:
    """Write masks as a masks part and read them back; logits are not stored and stay."""
    if masks_NHW.dtype != torch.bool:
        return masks_NHW
    row = {"image_key": "file/golden", "masks": encode_masks(masks_NHW.numpy()), "error": None}
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=MASKS), buffer)
    stored = pq.read_table(buffer).column("masks")[0].as_py()
    return torch.from_numpy(decode_masks(stored, tuple(masks_NHW.shape[1:])))


def scenes(golden, masks_of=start_masks):
    """Yield (config name, config, scene, canvas) for everything the root has."""
    for name, config in golden.json("fgvp_configs.json")["configs"].items():
        for scene in config["scenes"]:
            canvas = Canvas(
                start_image(golden, scene),
                golden.arrays("fgvp_inputs.npz")[f"{scene}__boxes_xyxy"],
                masks_of(golden, scene),
                canvas_px=config["clip_image_size"],
                fit=config["clip_processing"],
                crop_pct=config["crop_pct"],
            )
            yield name, config, scene, canvas


def draw(prompt_name: str, canvas: Canvas, config) -> Pictures:
    prompt = find_prompt(NAMES.get(prompt_name, prompt_name))
    published = {
        "line_color": config["color_line"],
        "mask_color": config["color_mask"],
        "thickness_px": config["thickness"],
        "alpha": config["alpha"],
        "sigma_px": float(config["blur_std_dev"]),
        "contour_scale": config["contour_scale"],
        "gray_weights": "swapped",
    }
    return render(prompt, canvas, **{name: published[name] for name in prompt.parameters})


@pytest.mark.parametrize("stored", [False, True], ids=["given masks", "stored masks"])
def test_canvas_prompts_draw_the_reference_pixels(golden, stored):
    masks_of = (lambda *where: through_storage(start_masks(*where))) if stored else start_masks
    for name, config, scene, canvas in scenes(golden, masks_of):
        drawn = [draw(prompt, canvas, config).numpy() for prompt in config["full_image_prompt_order"]]
        golden.assert_equal(f"fgvp_u8_{name}.npz", f"{scene}__full_image_prompts", np.stack(drawn))


def test_canvas_inputs_match_the_reference_tensors(golden):
    stride, compared = golden.json("fgvp_configs.json")["probe_stride"], defaultdict(set)
    for name, config, scene, canvas in scenes(golden):
        file = f"fgvp_final_{name}.npz"
        for prompt in config["prompts"]:
            views, prefix = draw(prompt, canvas, config), f"{scene}__{prompt}__r"
            for array in sorted(array for array in golden.arrays(file) if array.startswith(prefix)):
                size, kind = array.removeprefix(prefix).split("__")
                tensors = canvas_to_input(
                    views,
                    canvas_px=config["clip_image_size"],
                    fit=config["clip_processing"],
                    size_px=int(size),
                    boxes_xyxy=canvas.boxes_xyxy,
                ).numpy()
                stored = {
                    "probe": tensors[..., ::stride, ::stride],
                    "full": tensors[:1],
                    "meanstd": mean_and_std(tensors),
                }
                golden.assert_close(file, array, stored[kind], atol=FINAL_ATOL)
                compared[file].add(array)
    for file, arrays in compared.items():
        assert arrays == {*golden.arrays(file)}, f"{file}: some arrays were not compared"


@pytest.mark.skipif(not SAME_BYTES, reason="the reference tensors were made on a CPU with AVX-512")
def test_canvas_inputs_are_the_reference_bytes(golden):
    if golden.root == "committed":
        pytest.skip("the digests are in the shared set alone")
    wanted, compared = golden.json("fgvp_final_sha256.json"), 0
    for name, config, scene, canvas in scenes(golden):
        for prompt in config["prompts"]:
            views, prefix = draw(prompt, canvas, config), f"{scene}__{prompt}__r"
            for key in [key for key in wanted[name] if key.startswith(prefix)]:
                tensors = canvas_to_input(
                    views,
                    canvas_px=config["clip_image_size"],
                    fit=config["clip_processing"],
                    size_px=int(key.removeprefix(prefix)),
                    boxes_xyxy=canvas.boxes_xyxy,
                )
                assert digests(tensors) == wanted[name][key], f"{name} {key}"
                compared += len(wanted[name][key])
    assert compared == sum(len(one) for config in wanted.values() for one in config.values()) > 800


def digests(tensors: torch.Tensor) -> list[str]:
    return [hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest() for tensor in tensors]


def mean_and_std(tensors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = tensors.astype(np.float64)
    return np.stack([exact.mean((2, 3)), exact.std((2, 3))], axis=-1)


def test_crops_are_the_reference_pixels(golden):
    compared = defaultdict(set)
    for name, config, scene, canvas in scenes(golden):
        file = f"fgvp_u8_{name}.npz"
        for prompt in sorted({*config["prompts"]} - {*config["full_image_prompt_order"]}):
            for index, drawn in enumerate(draw(prompt, canvas, config)):
                array = f"{scene}__{prompt}__{index}"
                if array in golden.arrays(file):  # the committed part has a few only
                    golden.assert_equal(file, array, drawn.numpy())
                    compared[file].add(array)
    for file, arrays in compared.items():
        crops = {array for array in golden.arrays(file) if "full_image_prompts" not in array}
        assert arrays == crops, f"{file}: some arrays were not compared"


@pytest.mark.parametrize("drawing", ["crop", "blur", "shade"])
def test_reclip_pictures_match(golden, drawing):
    name_of = {"crop": "crop", "blur": "reclip_blur", "shade": "reclip_shade"}
    arrays, about = golden.arrays("reclip_render.npz"), golden.json("reclip_render.json")
    for case in about["cases"]:
        name = case["image"]
        image = torch.from_numpy(golden.arrays("images.npz")[name])
        boxes = arrays[f"{name}__boxes_xywh"]
        settings = {"enlarge_px": float(case["enlarge_boxes"])}
        if drawing == "blur":
            settings["sigma_px"] = float(case["blur_std_dev"])
        pictures = render(find_prompt(name_of[drawing]), Photo(image, boxes), **settings)
        for size_px in case["model_resolutions"]:
            array = f"{name}__{drawing}__r{size_px}"
            if golden.root == "committed" and f"{array}__probe" not in arrays:
                continue  # the committed part has blur and shade for one picture only
            assert_native(golden, "reclip_render", array, pictures, size_px)


@pytest.mark.parametrize("prompt_name", ["falip_circle_blur", "raw"])
def test_falip_pictures_match(golden, prompt_name):
    arrays, about = golden.arrays("falip_render.npz"), golden.json("falip.json")
    for case in about["render_cases"]:
        name = case["image"]
        image = torch.from_numpy(golden.arrays("images.npz")[name])
        boxes = arrays[f"{name}__boxes_xywh"]
        assert case["enlarge_boxes"] == 0
        if prompt_name == "raw":
            plain = render(find_prompt("raw"), Photo(image, boxes[:1]))
            assert_native(golden, "falip_render", f"{name}__box", plain, case["resolution"])
        else:
            sigma_px = float(case["blur_std_dev"])
            circles = render(find_prompt(prompt_name), Photo(image, boxes), sigma_px=sigma_px)
            assert_native(golden, "falip_render", f"{name}__circle", circles, case["resolution"])


@pytest.mark.parametrize("grown_px", [1.0, 3.5])
def test_falip_boxes_grow_before_they_are_clamped(golden, grown_px):
    """Boxes that are smaller by what they grow, some beyond the border, give the pictures of the boxes."""
    arrays, about = golden.arrays("falip_render.npz"), golden.json("falip.json")
    for case in about["render_cases"]:
        name, sigma_px = case["image"], float(case["blur_std_dev"])
        image = torch.from_numpy(golden.arrays("images.npz")[name])
        smaller = arrays[f"{name}__boxes_xywh"] + np.array([1, 1, -2, -2]) * grown_px
        circles = render(
            find_prompt("falip_circle_blur"), Photo(image, smaller), enlarge_px=grown_px, sigma_px=sigma_px
        )
        assert_native(golden, "falip_render", f"{name}__circle", circles, case["resolution"])


def assert_native(golden, file: str, array: str, pictures: Pictures, size_px: int) -> None:
    """Compare the squashed picture (recovered from levels in 0..1) and the normalised tensor."""
    about = golden.json(f"{file.replace('falip_render', 'falip')}.json")
    stride = about["probe_stride"]
    levels = native_to_input(pictures, size_px, mean=(0, 0, 0), std=(1, 1, 1)) * MAX_LEVELS
    squashed = levels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    expected = golden.arrays(f"{file}.npz")[f"{array}__u8_after_resize"]
    golden.assert_equal(f"{file}.npz", f"{array}__u8_after_resize", squashed.reshape(expected.shape))
    tensors = native_to_input(pictures, size_px)
    probe = tensors.numpy()[..., ::stride, ::stride]
    golden.assert_close(f"{file}.npz", f"{array}__probe", probe, atol=FINAL_ATOL)
    if SAME_BYTES:
        assert digests(tensors) == about["final_sha256"][array], f"{file} {array}"
