"""Building and initialising networks without touching the global random state."""

import math

import torch
from torch import nn

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def build(constructor, generator):
    """Call `constructor` and draw all weights from `generator`, in float32 on the CPU.

    Layer constructors draw from the global generator, so they run on the meta
    device, where nothing is drawn; then each layer is initialised as torch does it.
    Modules that start otherwise or have parameters of their own have ``initialise(generator)``.
    """
    module = allocate(constructor)
    for layer in module.modules():
        if hasattr(layer, "initialise"):
            layer.initialise(generator)
        elif isinstance(layer, _WEIGHTED):
            _initialise_weighted(layer, generator)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_parameters()
    return module


def allocate(constructor):
    """The network of `constructor` in float32 on the CPU, values undefined."""
    with torch.device("meta"):
        module = constructor()
    return module.to(torch.float32).to_empty(device="cpu")


def _initialise_weighted(layer, generator):
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        bound = 1 / math.sqrt(fan_in)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
