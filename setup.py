"""Compile the loops in C. All else about the package is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "xpnet.kernels._native",
            ["xpnet/kernels/native.c"],
            depends=["xpnet/kernels/native_real.h"],
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
