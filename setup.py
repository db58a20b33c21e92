"""Find the packages, and compile the loops in C. All else about the package is in pyproject.toml."""

import os
import zlib
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
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


MANUAL = Path("docs", "_build", "man", "xpnet.1")
"""The manual page, once `nox -s docs` has made it."""


class BuildLoops(build_ext):
    """Compiles with the flags of the compiler that is there. The library is loaded by name, by any Python."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one extension."""
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, FLAGS["unix"])
        super().build_extension(ext)

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of the library: its name says nothing about a version of Python."""
        return str(Path(*fullname.split("."))) + (".pyd" if os.name == "nt" else ".so")


class WheelOfAnyPython(bdist_wheel):
    """Makes one wheel for all versions of Python on a platform: the loops do not use Python's C API."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    cmdclass={"build_ext": BuildLoops, "bdist_wheel": WheelOfAnyPython},
    packages=PACKAGES + PIPELINES,
    package_dir={"xpnet": "xpnet", "xpnet.pipelines": "pipelines"},
    data_files=[("share/man/man1", [MANUAL.as_posix()])] if MANUAL.exists() else [],
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
