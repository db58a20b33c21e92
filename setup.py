"""Find the packages, and compile the loops in C. All else about the package is in pyproject.toml."""

import zlib
from pathlib import Path

from setuptools import Extension, find_packages, setup

SOURCES = [Path("xpnet", "kernels", name) for name in ("native.c", "native_real.h")]

# The folder pipelines/ is installed as xpnet.pipelines: another project may have a package named pipelines.
# In a checkout the link xpnet/pipelines leads there.
PACKAGES = [name for name in find_packages(include=["xpnet", "xpnet.*"]) if "pipelines" not in name]
PIPELINES = [f"xpnet.{name}" for name in find_packages(include=["pipelines", "pipelines.*"])]

setup(
    packages=PACKAGES + PIPELINES,
    package_dir={"xpnet": "xpnet", "xpnet.pipelines": "pipelines"},
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
    ],
)
