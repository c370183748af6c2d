"""Child process of `pipelines.convert_weights`: TorchScript archive in, safetensors out.

It runs alone, by path, with an almost empty environment; so it imports nothing of this project.
"""

import sys

import torch
from safetensors.torch import save_file

# Settings that OpenAI stored beside the parameters.
NOT_PARAMETERS = ("input_resolution", "context_length", "vocab_size")


def main(source: str, out: str) -> None:
    """Write the parameters of an archive as they are stored, half precision included."""
    torch.set_num_threads(1)
    state = torch.jit.load(source, map_location="cpu").state_dict()
    tensors = {name: value.clone() for name, value in state.items() if name not in NOT_PARAMETERS}
    save_file(tensors, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
