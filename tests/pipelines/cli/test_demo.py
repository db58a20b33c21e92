"""The demo: its drawings, and that it leads through all commands."""

from pathlib import Path

import pytest
from image_files import decode_image

from xpnet.errors import ImageError, OutputError
from xpnet.pipelines.cli import demo, landscapes
from xpnet.pipelines.images.recipe import Recipe


def test_it_leads_from_pictures_to_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xpnet.pipelines.cli.app import app

    folder = tmp_path / "demo"
    for _ in range(2):  # and once more into its own folder
        with pytest.raises(SystemExit) as ended:
            app(["demo", str(folder), "--device", "cpu"])
        assert not ended.value.code
        said = capsys.readouterr().out
        assert "three classes, each with 60 images to train and 20 to test.\n" in said
        for command in ("preprocess", "train", "evaluate", "predict", "report"):
            assert f"$ xpnet {command} {folder}" in said
    assert "<title>skies.safetensors - xpnet report</title>" in (folder / "report.html").read_text("utf-8")
    rows = (folder / "predictions.csv").read_text().splitlines()
    assert len(rows) == 8
    assert sum(",error," in row for row in rows) == 2
    turned, upright = (next(r for r in rows if name in r).partition(",")[2] for name in ("turned", "upright"))
    assert turned == upright
    accuracy = float(said.partition("Accuracy: ")[2].split()[0])
    assert accuracy > 80


def test_without_jinja_it_says_what_the_report_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert demo._report(["report"], lambda arguments: 1, said.append) == 0
    assert said == ["\n# xpnet report would show all of this on one page: pip install 'xpnet[report]'"]


def test_its_drawings_are_the_same_each_time(tmp_path: Path) -> None:
    landscapes.draw(str(tmp_path / "one"))
    landscapes.draw(str(tmp_path / "two"))
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    with pytest.raises(ImageError, match="truncated"):
        decode_image(str(tmp_path / "one" / "new" / "truncated.jpg"), Recipe())


def test_it_draws_over_nothing_of_yours(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="name another folder"):
        landscapes.draw(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
