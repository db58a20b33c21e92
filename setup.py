"""Find the packages, and compile the loops in C. All else about the package is in pyproject.toml."""

import zlib
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

SOURCES = [Path("xpnet", "kernels", name) for name in ("native.c", "native_real.h")]

# The folder pipelines/ is installed as xpnet.pipelines: another project may have a package named pipelines.
# In a checkout the link xpnet/pipelines leads there.
PACKAGES = [name for name in find_packages(include=["xpnet", "xpnet.*"]) if "pipelines" not in name]
PIPELINES = [f"xpnet.{name}" for name in find_packages(include=["pipelines", "pipelines.*"])]

# With these the order of sums may change, and no more: with -ffast-math NaN would be lost.
FLAGS = {
    "msvc": ["/O2", "/std:c11"],
    "unix": ["-O3", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno"],
}
"""The flags of each kind of compiler. All others are taken for "unix"."""


class BuildLoops(build_ext):
    """Compiles with the flags of the compiler that is there."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one extension."""
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, FLAGS["unix"])
        super().build_extension(ext)


setup(
    cmdclass={"build_ext": BuildLoops},
    packages=PACKAGES + PIPELINES,
    package_dir={"xpnet": "xpnet", "xpnet.pipelines": "pipelines"},
    ext_modules=[
        Extension(
            "xpnet.kernels._native",
            [SOURCES[0].as_posix()],
            depends=[SOURCES[1].as_posix()],
            define_macros=[("SOURCE", f"{zlib.crc32(b''.join(path.read_bytes() for path in SOURCES))}u")],
            optional=True,  # without a compiler NumPy does it all
        )
    ],
)
