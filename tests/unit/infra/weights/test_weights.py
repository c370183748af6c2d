import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from infra.errors import InputError
from infra.weights import checkpoint_check, hub
from infra.weights import fetch as fetching
from infra.weights.checkpoint_card import CARD_SUFFIX, Card, write_card
from infra.weights.checkpoint_check import check_weights
from infra.weights.encoders import resolve_encoder
from infra.weights.fetch import file_facts
from infra.weights.published_checkpoints import OPENAI, PUBLISHED
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import local_file
from operators.methods.models import Segmenter, Weights
from pipelines.random_weights import RandomWeightsOptions, write_random_weights

ROOT = Path(__file__).resolve().parents[4]
TINY_SAM = {"image_size": 64, "width": 32, "depth": 2, "heads": 2, "global_layers": [1]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A node cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VPB_CACHE", str(folder))
    return folder


@pytest.fixture
def vit_file(tiny_vit, tmp_path):
    """Weights of the tiny vision transformer as a lone file."""
    return shutil.copy(Path(tiny_vit) / "open_clip_model.safetensors", tmp_path / "weights.safetensors")


@pytest.fixture
def web():
    """A web server: `files` maps paths to bytes, `requests` counts GETs, `url` is its root."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests[self.path] = server.requests.get(self.path, 0) + 1
            self.do_HEAD()
            self.wfile.write(server.files.get(self.path, b""))

        def do_HEAD(self):
            body = server.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("ETag", hashlib.sha256(body or b"").hexdigest()[:8])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests = {}, {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_published_table_agrees_with_open_clip():
    import open_clip

    assert len({entry.sha256 for entry in PUBLISHED}) == len(PUBLISHED) == 12
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in PUBLISHED)
    clips = [entry for entry in PUBLISHED if entry.url.startswith(OPENAI)]
    assert len(clips) == 9
    for entry in clips:
        config = open_clip.get_pretrained_cfg(entry.architecture, "openai")
        assert (config["url"], config["quick_gelu"]) == (entry.url, entry.quick_gelu)


def test_a_folder_is_known_by_its_hash(tiny_vit, tiny_resnet):
    encoder = resolve_encoder(tiny_vit)
    assert encoder.name == "tiny-vit"
    assert encoder.weights.sha256 == sha256(encoder.weights.source)
    assert (encoder.weights.label, encoder.quick_gelu) == ("unverified", False)
    assert resolve_encoder(tiny_resnet).quick_gelu


def test_a_folder_may_lie_in_an_object_store(tiny_vit):
    files = fsspec.filesystem("memory")
    files.put(tiny_vit, "/models/tiny-vit", recursive=True)
    encoder = resolve_encoder("memory://models/tiny-vit")
    assert encoder.weights.sha256 == resolve_encoder(tiny_vit).weights.sha256
    assert sha256(local_file(encoder.weights)) == encoder.weights.sha256


def test_label_and_quick_gelu_come_from_the_card(vit_file):
    assert not resolve_encoder(f"ViT-B-32:{vit_file}").quick_gelu
    assert resolve_encoder(f"ViT-B-32-quickgelu:{vit_file}").quick_gelu
    write_card(str(vit_file), label="random", architecture="ViT-B-32-quickgelu", quick_gelu=True)
    encoder = resolve_encoder(f"ViT-B-32:{vit_file}")
    assert (encoder.weights.label, encoder.quick_gelu, encoder.architecture) == ("random", True, "ViT-B-32")


def test_resolving_needs_no_torch(vit_file, tiny_vit):
    code = (
        "import sys; from infra.weights.encoders import resolve_encoder\n"
        "from infra.weights.segmenters import resolve_segmenter\n"
        "from infra.weights.sources import local_file\n"
        f"local_file(resolve_encoder('ViT-B-32:{vit_file}').weights); resolve_encoder('{tiny_vit}')\n"
        "resolve_segmenter('vit_h:published'); import infra.weights.checkpoint_check\n"
        "assert not {'torch', 'open_clip', 'segment_anything', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_file_is_hashed_again_only_when_it_changed(vit_file, monkeypatch):
    hashed = []
    hash_file = fetching._facts
    monkeypatch.setattr(fetching, "_facts", lambda path: hashed.append(path) or hash_file(path))
    before = file_facts(str(vit_file))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(file_facts, [str(vit_file)] * 8)) == {before}
    assert len(hashed) == 1
    content = bytearray(Path(vit_file).read_bytes())
    content[-1] ^= 1
    times = os.stat(vit_file)
    Path(vit_file).write_bytes(content)
    os.utime(vit_file, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same modification time
    assert file_facts(str(vit_file)).sha256 == sha256(vit_file) != before.sha256


def test_a_tag_is_downloaded_once_and_then_needs_no_open_clip(vit_file, monkeypatch):
    import open_clip

    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: str(vit_file))
    first = resolve_encoder("ViT-B-32:openai")
    assert (first.weights.sha256, first.weights.label) == (sha256(vit_file), "real")
    assert first.quick_gelu
    monkeypatch.setitem(sys.modules, "open_clip", None)  # an import would fail
    assert resolve_encoder("ViT-B-32:openai") == first


def test_mean_std_and_filter_are_those_of_the_tag(vit_file, monkeypatch):
    import open_clip

    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: str(vit_file))
    encoder = resolve_encoder("PE-Core-B-16:meta")
    assert (encoder.mean, encoder.std, encoder.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bilinear")
    assert encoder.told() == "GELU, mean 0.5 0.5 0.5, std 0.5 0.5 0.5, bilinear, float32 (the tag meta)"
    assert resolve_encoder("ViT-B-32:openai").told() == (
        "QuickGELU, CLIP's mean and std, bicubic, float32 (the tag openai)"
    )


def test_a_folder_with_a_filter_that_is_unknown_is_refused(tiny_vit, tmp_path):
    folder = shutil.copytree(tiny_vit, tmp_path / "model")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = {"interpolation": "lanczos"}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="interpolation 'lanczos' is none of bilinear, bicubic"):
        resolve_encoder(str(folder))


def test_an_offline_machine_is_told_so_at_once(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for name in hub.PROXIES:
        monkeypatch.delenv(name, raising=False)
    told = (
        r"the hub does not answer; .*`hf download timm/vit_large_patch14_clip_336\.openai .*ViT-L-14-336:FILE"
    )
    with pytest.raises(InputError, match=told):
        resolve_encoder("ViT-L-14-336:openai")


def test_a_tag_from_the_hub_is_named_by_its_url(vit_file, tmp_path, monkeypatch):
    """Other nodes do not have this node's cache; this node does not download again."""
    import open_clip

    folder = tmp_path / "hub" / "models--timm--vit_x.openai" / "snapshots" / "abc123"
    folder.mkdir(parents=True)
    cached = shutil.copy(vit_file, folder / "open_clip_model.safetensors")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: str(cached))
    weights = resolve_encoder("ViT-B-32:openai").weights
    url = "https://huggingface.co/timm/vit_x.openai/resolve/abc123/open_clip_model.safetensors"
    assert weights.source == url
    monkeypatch.setattr(fetching, "_copy", None)  # no network
    assert os.path.realpath(local_file(weights)) == str(cached)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ViT-B32:openai", "no model 'ViT-B32'; nearest: ViT-B-32"),
        ("ViT-B-32:opnai", "no such tag; nearest: openai"),
        ("ViT-B-32", "write ARCHITECTURE:TAG"),
        ("ViT-B-32:absent.pt", "absent.pt does not exist"),
    ],
)
def test_unknown_encoders(text, told):
    with pytest.raises(InputError, match=told):
        resolve_encoder(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vit_x:published", "no architecture 'vit_x'; nearest: vit_"),
        ("vit_h", "write ARCHITECTURE:published"),
        ("vit_h:absent.pth", "absent.pth does not exist"),
    ],
)
def test_unknown_segmenters(text, told):
    with pytest.raises(InputError, match=told):
        resolve_segmenter(text)


def test_a_published_segmenter_is_resolved_without_a_download(monkeypatch):
    monkeypatch.setattr(fetching, "_copy", None)
    segmenter = resolve_segmenter("vit_h:published")
    assert segmenter.weights.label == "real"
    assert segmenter.weights.source.endswith("/segment_anything/sam_vit_h_4b8939.pth")
    assert segmenter.weights.sha256.startswith("a7bf3b02f3ebf126")
    assert resolve_segmenter(f"vit_h:{segmenter.weights.source}") == segmenter
    with pytest.raises(InputError, match="the publisher says the weights are for vit_h, not vit_b"):
        resolve_segmenter(f"vit_b:{segmenter.weights.source}")


def test_a_small_segmenter_is_a_folder(tmp_path):
    import tiny_models

    segmenter = resolve_segmenter(tiny_models.write_sam(tmp_path / "tiny-sam", seed=1))
    assert (segmenter.name, segmenter.frame_px, segmenter.weights.label) == ("tiny-sam", 128, "unverified")
    check_weights([], [segmenter])


def test_one_download_a_node_for_many_threads(vit_file, web, cache):
    web.files["/w.safetensors"] = Path(vit_file).read_bytes()
    weights = Weights(source=f"{web.url}/w.safetensors", sha256=sha256(vit_file), label="real")
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(local_file, [weights] * 8))
    assert len(paths) == 1 and sha256(paths.pop()) == weights.sha256
    assert web.requests == {"/w.safetensors": 1}
    assert [path.suffix for path in (cache / "checkpoints").iterdir()] == [".safetensors"]


def test_one_download_a_node_for_many_processes(vit_file, web):
    web.files["/w.safetensors"] = Path(vit_file).read_bytes()
    weights = Weights(source=f"{web.url}/w.safetensors", sha256=sha256(vit_file), label="real")
    code = (
        "from infra.weights.sources import local_file; from operators.methods.models import Weights\n"
        f"print(local_file(Weights.model_validate_json('{weights.model_dump_json()}')))"
    )
    command = [sys.executable, "-c", code]
    children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    paths = {child.communicate()[0].strip() for child in children}
    assert len(paths) == 1 and sha256(paths.pop()) == weights.sha256
    assert web.requests == {"/w.safetensors": 1}


def test_a_url_is_downloaded_to_be_hashed_and_not_again(vit_file, web):
    web.files["/w.safetensors"] = Path(vit_file).read_bytes()
    first = resolve_encoder(f"ViT-B-32:{web.url}/w.safetensors")
    assert first.weights.sha256 == sha256(local_file(first.weights)) == sha256(vit_file)
    assert resolve_encoder(f"ViT-B-32:{web.url}/w.safetensors") == first
    assert web.requests["/w.safetensors"] == 1


def test_a_checked_file_is_not_opened_again(tiny_vit, monkeypatch):
    encoder = resolve_encoder(tiny_vit)
    check_weights([encoder, encoder], [])
    monkeypatch.setattr(checkpoint_check, "_require_fits", None)
    check_weights([encoder], [])
    other = encoder.model_copy(update={"quick_gelu": True})
    with pytest.raises(InputError, match="not callable"):
        check_weights([other], [])


def test_a_segmenter_fits_its_architecture(tmp_path):
    path = tmp_path / "sam.pth"
    segmenter = write_tiny_sam(path)
    check_weights([], [segmenter])
    with pytest.raises(InputError, match=r"sam\.pth is for a frame of 64 px, expected 1024 px"):
        check_weights([], [segmenter.model_copy(update={"frame_px": 1024})])


def write_tiny_sam(path: Path) -> Segmenter:
    import torch

    from operators.segment.sam_architectures import build_sam

    architecture = json.dumps(TINY_SAM)
    torch.save(build_sam(architecture).state_dict(), path)
    weights = Weights(source=str(path), sha256=sha256(path), label="random")
    return Segmenter(name="tiny-sam", architecture=architecture, weights=weights, frame_px=64)


@pytest.fixture
def small_architectures(tmp_path, monkeypatch):
    """Stand-ins of small size under real names."""
    import open_clip
    import tiny_models
    from segment_anything import sam_model_registry

    from operators.encode.encoders import open_clip as clip_model
    from operators.segment import sam_architectures

    tiny = sam_architectures.SamShape.model_validate(TINY_SAM)
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda checkpoint: sam_architectures._build(tiny))
    configs = {"ViT-B-32": tiny_models.VIT, "RN50-quickgelu": tiny_models.RESNET}
    monkeypatch.setattr(
        clip_model.open_clip, "get_model_config", lambda name: json.loads(json.dumps(configs[name]))
    )
    return open_clip


def test_random_weights_are_whole_labelled_and_repeatable(small_architectures, tmp_path, capsys):
    names = ("ViT-B-32", "RN50-quickgelu", "sam_vit_b")
    for folder in ("a", "b"):
        options = RandomWeightsOptions(models=names, out=str(tmp_path / folder))
        assert write_random_weights(options) == 0
    files = {"ViT-B-32.safetensors", "RN50-quickgelu.safetensors", "sam_vit_b.pth"}
    assert set(os.listdir(tmp_path / "a")) == files | {file + CARD_SUFFIX for file in files}
    for file in files:
        assert (
            tmp_path / "a" / file
        ).stat().st_mode & 0o044 == 0o044  # others of a shared folder may read it
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (
            Card.model_validate_json((tmp_path / "a" / (file + CARD_SUFFIX)).read_bytes()).label == "random"
        )
    encoder = resolve_encoder(f"ViT-B-32:{tmp_path}/a/ViT-B-32.safetensors")
    quick = resolve_encoder(f"RN50:{tmp_path}/a/RN50-quickgelu.safetensors")
    assert (encoder.quick_gelu, quick.quick_gelu) == (False, True)
    segmenter = resolve_segmenter(f"vit_b:{tmp_path}/a/sam_vit_b.pth")
    check_weights([encoder], [segmenter.model_copy(update={"frame_px": 64})])


def test_random_weights_of_an_unknown_model(tmp_path):
    with pytest.raises(InputError, match="--models ViT-Z: open_clip has no model"):
        write_random_weights(RandomWeightsOptions(models=("ViT-Z",), out=str(tmp_path)))
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.real_size
def test_random_sam_of_the_published_size(tmp_path):
    write_random_weights(RandomWeightsOptions(models=("sam_vit_b",), out=str(tmp_path)))
    segmenter = resolve_segmenter(f"vit_b:{tmp_path}/sam_vit_b.pth")
    assert segmenter.weights.label == "random"
    check_weights([], [segmenter])
