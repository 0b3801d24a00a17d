"""Layers that several networks share, and how networks are built without global random state."""

import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from ..exceptions import refuse_beyond_memory

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def build(constructor, generator):
    """Call `constructor` and draw all weights from `generator`, in float32 on the CPU.

    Layer constructors draw from the global generator, so they run on the meta
    device, where nothing is drawn; then each layer is initialised as torch does it.
    Modules that start otherwise or have parameters of their own have ``initialise(generator)``.
    """
    refuse_a_network_beyond_memory(constructor)
    module = allocate(constructor)
    for layer in module.modules():
        if hasattr(layer, "initialise"):
            layer.initialise(generator)
        elif isinstance(layer, _WEIGHTED):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                fan_in = layer.weight[0].numel()
                bound = 1 / math.sqrt(fan_in)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, nn.GRU):
            bound = 1 / math.sqrt(layer.hidden_size)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_parameters()
    return module


def refuse_a_network_beyond_memory(constructor):
    """Raise a MemoryError before anything is drawn for a network that cannot be trained here."""
    try:
        n_weights = sum(value.numel() for value in _shape_of(constructor).state_dict().values())
    except (RuntimeError, TypeError) as error:
        if "overflow" not in str(error).lower():
            raise
        n_weights = 2**63  # which is what overflows
    # Float32 values: each weight has a gradient, and two running means of gradients.
    refuse_beyond_memory(
        4 * 4 * n_weights,
        f"A network of {n_weights:.3g} weights needs",
        "choose a smaller width, codebook_size or number of kernels",
    )


@torch.inference_mode(False)  # or a model opened inside it could never be trained further
def allocate(constructor):
    """The network of `constructor` in float32 on the CPU, values undefined."""
    module = _shape_of(constructor)
    # Module.to_empty would import sympy, which takes a second and breaks if a signal arrives.
    empty = {name: _empty_like(value) for name, value in module.state_dict().items()}
    module.load_state_dict(empty, assign=True)
    return module


@torch.inference_mode(False)
@torch.no_grad()
def restore(constructor, arrays):
    """The network of `constructor` on the CPU with weights and buffers from arrays by name.

    Raises
    ------
    ValueError
        If their names, shapes or types are not those of the network, of which nothing is allocated
        before that is known.
    """
    module = _shape_of(constructor)
    wanted = module.state_dict()
    if set(wanted) != set(arrays):
        odd = min(set(wanted) ^ set(arrays))
        raise ValueError(f"its network {'lacks' if odd in wanted else 'has no'} weights {odd}.")
    values = {}
    for name, value in wanted.items():
        given = torch.tensor(arrays[name], device="cpu")
        if given.shape != value.shape or given.dtype != _dtype_of(value):
            raise ValueError(
                f"its weights {name} are {given.dtype} of shape {tuple(given.shape)}, and not "
                f"{_dtype_of(value)} of shape {tuple(value.shape)}."
            )
        values[name] = _empty_like(value).copy_(given)  # with the strides of the network
    module.load_state_dict(values, assign=True)
    return module


def _shape_of(constructor):
    """The network of `constructor` without memory for its values."""
    with torch.device("meta"):
        return constructor()


def _empty_like(value):
    """A tensor on the CPU of the shape, strides and kind of one without memory."""
    return torch.empty_strided(value.shape, value.stride(), dtype=_dtype_of(value), device="cpu")


def _dtype_of(value):
    """Weights are float32, whatever the user's default is."""
    return torch.float32 if value.is_floating_point() else value.dtype


@torch.no_grad()
def estimate_statistics(module, x, n_batches, generator):
    """Set the running statistics inside `module` to their means over random batches of `x`.

    Batches of consecutive rows would miss what separates them where `x` is sorted.
    """
    order = torch.randperm(len(x), generator=generator, device="cpu").to(x.device)
    module.train()
    with _momentum(module, None) as layers:  # None: the mean over all batches
        for layer in layers:
            layer.reset_running_stats()
        for rows in order.tensor_split(n_batches):
            module(x[rows])
    module.eval()


def kept_statistics(module):
    """A context in which batch normalisations leave their running statistics as they are."""
    return _momentum(module, 0.0)


@contextmanager
def _momentum(module, momentum):
    """Set the momentum of the batch normalisations inside `module`, yield them, restore it."""
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = momentum
    try:
        yield layers
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.momentum = old


class _SingleValue:
    """Batch normalisation that accepts a single value per channel in training.

    One series of one token has no batch statistics, and torch raises there; it is
    normalised with the running statistics.
    """

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class BatchNorm1d(_SingleValue, nn.BatchNorm1d):
    """Batch normalisation of ``(B, C)`` or ``(B, C, T)``, also with one value per channel."""


class Dropout(nn.Module):
    """Dropout that draws from a generator it is handed; torch's can only draw from the global one.

    Eight values share one random number, a byte each: `p` is rounded to a 256th.
    """

    def __init__(self, p):
        super().__init__()
        self.threshold = round(256 * p)

    def forward(self, x, generator=None):
        """Drop values in training mode; without a generator, by torch's global one."""
        if not self.training or self.threshold == 0:
            return x
        # Torch draws 64 random bits at a time: eight bytes, one for each of eight values.
        bits = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device="cpu")
        bits.random_(-(2**63), None, generator=generator)
        kept = bits.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * kept.to(x.device, x.dtype).mul_(256 / (256 - self.threshold))


class Norm(nn.LayerNorm):
    """Layer normalisation without a bias (Ba et al. 2016), three times as fast here as RMSNorm."""

    def __init__(self, width):
        super().__init__(width, eps=1e-6, bias=False)

    def initialise(self, generator):
        nn.init.ones_(self.weight)


class ZeroConv(nn.Conv2d):
    """A convolution that starts at 0: what it is added to is at first as without it.

    It is the zero convolution of ControlNet (Zhang et al. 2023), without a bias. It tells an
    encoder where values are missing, beside a convolution that sees lines across gaps. Where
    nothing is missing it adds nothing, whatever it has learned.
    """

    def __init__(self, in_channels, out_channels, **geometry):
        super().__init__(in_channels, out_channels, bias=False, **geometry)

    def initialise(self, generator):
        """No weight; `generator` has no say."""
        nn.init.zeros_(self.weight)


class Readable:
    """Marks layers whose ``forward(x, activations=None)`` adds to a list of activations."""


class BatchNorm2d(Readable, _SingleValue, nn.BatchNorm2d):
    """Batch normalisation of images ``(B, C, H, W)`` that can be read from.

    Its input, standardised per channel by the running statistics, says how far each value lies from
    the training set's mean. That is what features are read from.
    """

    def forward(self, x, activations=None):
        """Normalise; where the layer is affine, add ``(B, H W, C)`` to a list of activations."""
        if activations is not None and self.affine:
            standardised = F.batch_norm(
                x, self.running_mean, self.running_var, training=False, eps=self.eps
            )
            activations.append(standardised.flatten(2).transpose(1, 2))
        return super().forward(x)


def run_layers(layers, x, activations=None):
    """Apply layers in turn, and let those that can be read from add to a list of activations.

    Parameters
    ----------
    layers : iterable of nn.Module
    x : Tensor
    activations : list or None
        None reads nothing.
    """
    for layer in layers:
        x = layer(x, activations) if isinstance(layer, Readable) else layer(x)
    return x
