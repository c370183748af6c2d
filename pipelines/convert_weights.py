"""Convert one of OpenAI's published CLIP files (TorchScript) to safetensors.

Example: python pipelines/convert_weights.py --source ViT-B-32.pt --out weights/ViT-B-32.safetensors
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.convert_weights import ConvertWeightsOptions, convert_weights
from infra.options import main

if __name__ == "__main__":
    sys.exit(main(ConvertWeightsOptions, convert_weights))
