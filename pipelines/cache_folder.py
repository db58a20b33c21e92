"""The folder of this user for files that can be made again."""

import os

VARIABLES = ("XDG_CACHE_HOME", "LOCALAPPDATA")
"""Environment variables that name the folder for files of all programs that can be made again."""


def cache_folder(*names: str) -> str:
    """Return the path of a folder of xpnet for such files. It may not exist yet."""
    named = [value for value in map(os.environ.get, VARIABLES) if value]
    return os.path.join(
        named[0] if named else os.path.join(os.path.expanduser("~"), ".cache"), "xpnet", *names
    )
