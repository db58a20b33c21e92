"""Backends: the CPU or one CUDA GPU. Only a backend moves data between host memory and a device.

A program calls `select` once, and passes the backend on as an argument.
"""

from xpnet.backend.backend import Backend, CudaBackend, backend_of, select
from xpnet.backend.cuda_graph import as_cuda_graph
from xpnet.backend.device import installed_wheels

__all__ = [
    "Backend",
    "CudaBackend",
    "as_cuda_graph",
    "backend_of",
    "installed_wheels",
    "select",
]
