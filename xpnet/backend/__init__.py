"""Backends: the CPU or one CUDA GPU, and the only ways for data between host and device.

`select` chooses a backend once, at the edge of a program; everything else gets it as an argument.
"""

from xpnet.backend.backend import Backend, CudaBackend, select
from xpnet.backend.cuda_graph import as_cuda_graph
from xpnet.backend.device import installed_wheels

__all__ = [
    "Backend",
    "CudaBackend",
    "as_cuda_graph",
    "installed_wheels",
    "select",
]
