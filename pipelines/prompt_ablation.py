"""Score a grid over visual prompts and their parameters; tables and heat maps by every pair of parameters.

Example: python pipelines/prompt_ablation.py --data shards --out out --drawings D4 C1 "I+FA" \
    --grid sigma_px=25,50,100 contour_scale=1,1.2 alpha=0.1,0.2 --post none S --encoders ViT-B-16:openai
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.ablation import AblationOptions, ablate
from infra.options import main

if __name__ == "__main__":
    sys.exit(main(AblationOptions, ablate))
