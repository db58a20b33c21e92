"""xpnet: one `xp` for NumPy and CuPy, differentiable primitives and a computation graph over it."""

from xpnet import functional

__version__ = "0.1.0"
