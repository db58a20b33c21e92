"""Compile the loops in C. All else about the package is in pyproject.toml."""

import zlib
from pathlib import Path

from setuptools import Extension, setup

SOURCES = [Path("xpnet", "kernels", name) for name in ("native.c", "native_real.h")]

setup(
    ext_modules=[
        Extension(
            "xpnet.kernels._native",
            [SOURCES[0].as_posix()],
            depends=[SOURCES[1].as_posix()],
            define_macros=[("SOURCE", f"{zlib.crc32(b''.join(path.read_bytes() for path in SOURCES))}u")],
            # What lets a sum be a vector's, and no more: with -ffast-math NaN would be lost.
            extra_compile_args=[
                "-O3",
                "-fassociative-math",
                "-fno-signed-zeros",
                "-fno-trapping-math",
                "-fno-math-errno",
            ],
            optional=True,  # without a compiler NumPy does it all
        )
    ]
)
