"""Choosing a device and a type, and readying a network for inference once."""

from __future__ import annotations

import platform
from typing import Literal, get_args

import torch

from cornernet.errors import ConfigError
from cornernet.inference.graphs import GraphedNetwork, Network
from cornernet.models.cornernet import CornerNet
from cornernet.models.folded import fold
from cornernet.models.winograd_conv import use_winograd

Mode = Literal["eager", "winograd", "graph", "compile"]
"""How the network is run.

- `eager`: kernel by kernel.
- `winograd`: the same, but for 3x3 convolutions by Winograd's algorithm; in float32 on a CPU.
- `graph`: as CUDA graphs, one for each canvas size.
- `compile`: compiled by PyTorch for each canvas size, which takes minutes; on CUDA as graphs, too.
"""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str | torch.device | None) -> torch.device:
    """The named device, or the machine's accelerator (CUDA, MPS, XPU, any PyTorch knows), or the CPU.

    Raises:
        ConfigError: When the name is not a device of this machine.
    """
    if device is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend refuses in its own way
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"expected a device of this machine such as 'cpu', got {str(device)!r}: {reason}") from error
    return chosen


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The type the network computes in: float32 unless another is named.

    Raises:
        ConfigError: On an unknown type, or one that this CPU has no instructions for (it would be 200 times slower).
    """
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype or torch.float32
    if chosen is None or chosen not in DTYPES.values():
        raise ConfigError(f"expected a dtype out of {', '.join(DTYPES)}, got {dtype!r}")
    if device.type == "cpu" and chosen is not torch.float32 and not _cpu_computes_in(chosen):
        raise ConfigError(
            f"expected float32 on this CPU, which has no {str(chosen)[6:]} instructions: use dtype float32"
        )
    return chosen


def _cpu_computes_in(dtype: torch.dtype) -> bool:
    name = "_is_mkldnn_bf16_supported" if dtype is torch.bfloat16 else "_is_mkldnn_fp16_supported"
    supported = getattr(torch.ops.mkldnn, name, None)
    return bool(supported and supported())


def choose_mode(mode: Mode | None, device: torch.device, dtype: torch.dtype) -> Mode:
    """The named way to run the network, or `graph` on CUDA, `winograd` in float32 on x86 and `eager` elsewhere.

    Other processors' libraries have such algorithms themselves, or were not timed.

    Raises:
        ConfigError: On an unknown word, or a way that the device or the type has not got.
    """
    on_cpu = device.type == "cpu" and dtype is torch.float32
    on_x86 = on_cpu and platform.machine() in ("x86_64", "AMD64")
    chosen = mode or ("graph" if device.type == "cuda" else "winograd" if on_x86 else "eager")
    if chosen not in get_args(Mode):
        raise ConfigError(f"expected a mode out of {', '.join(get_args(Mode))}, got {mode!r}")
    if chosen == "graph" and device.type != "cuda":
        raise ConfigError(f"expected a CUDA device for mode graph, got {device.type}: use mode eager or compile")
    if chosen == "winograd" and not on_cpu:
        given = f"{str(dtype)[6:]} on {device.type}"
        raise ConfigError(f"expected float32 on the CPU for mode winograd, got {given}: use mode eager or compile")
    return chosen


def runner(network: CornerNet, mode: Mode, device: torch.device) -> Network:
    """The prepared network as it is run: `Mode` says how."""
    if mode == "winograd":
        use_winograd(network)
    run: Network = torch.compile(network, dynamic=False) if mode == "compile" else network
    return run if mode == "eager" or device.type != "cuda" else GraphedNetwork(run)


def prepare(model: CornerNet, device: torch.device, dtype: torch.dtype) -> CornerNet:
    """Readies a network for inference, in place: last head only, batch norms folded, channels-last, on the device.

    Results stay within float32 rounding of the plain network's.
    """
    model.eval().requires_grad_(False)
    model.drop_auxiliary_heads()
    fold(model)
    prepared: CornerNet = model.to(device=device, dtype=dtype)
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
