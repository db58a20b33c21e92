"""What a shell offers when Tab is pressed: by Typer's protocol, and in a real Bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; sys.argv[0] = 'xpnet'; from xpnet.pipelines.cli.app import main; main()"
"""The command as it is installed: shells find its name in the first argument."""

BASH = shutil.which("bash")


def offered(*words: str) -> list[str]:
    """Return what is offered for the last word."""
    typed = {"COMP_WORDS": " ".join(("xpnet", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "_XPNET_COMPLETE": "complete_bash", **typed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], ["predict", "preprocess"]),
        (["train", "--log"], ["--log-format"]),
        (["train", "data", "--schedule", "co"], ["constant", "cosine"]),
        (["predict", "--device", ""], ["auto", "cpu", "gpu"]),
        (["train", "--features", "p"], ["patches"]),
        (["train", "--hidden", ""], []),
        (["train", "--config", "nowhere.toml", "--sched"], ["--schedule"]),
        (["sweep", "--schedule", "nonsense", "--dtype", "float6"], ["float64"]),
    ],
    ids=" ".join,
)
def test_commands_options_and_values_are_offered(words: list[str], expected: list[str]) -> None:
    assert sorted(offered(*words)) == expected


@pytest.mark.skipif(BASH is None, reason="there is no Bash")
def test_it_works_in_bash(tmp_path: Path) -> None:
    """The script that `--show-completion` prints; where it offers nothing, Bash offers the names of files."""
    (tmp_path / "xpnet").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}" "$@"\n', encoding="utf-8"
    )
    (tmp_path / "xpnet").chmod(0o755)
    script = """
        source <(xpnet --show-completion bash)
        complete -p xpnet
        COMP_WORDS=(xpnet train data --resize-mode "c") COMP_CWORD=4
        _xpnet_completion xpnet
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [str(BASH), "--norc", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["complete -o default -F _xpnet_completion xpnet", "crop"]
