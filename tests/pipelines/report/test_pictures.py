"""Thumbnails of the images that predictions name."""

from pathlib import Path

from PIL import Image

from xpnet.pipelines.report.pictures import ON_SERVER, thumbnails


def test_servers_are_asked_only_if_the_user_names_one(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (200, 30, 30)).save(tmp_path / "red.png")
    # Port 9 discards: nobody answers there.
    paths = [
        str(tmp_path / "red.png"),
        "http://127.0.0.1:9/1.jpg",
        str(tmp_path / "missing.png"),
        "s3://b/2.jpg",
    ]
    (red, no_reason), page, missing, stored = thumbnails(paths, 16, 1)
    assert red
    assert no_reason == ""
    assert page == stored == ("", ON_SERVER)
    assert "No such file" in missing[1]
    (_, reason), *_ = thumbnails(paths[1:2], 16, 1, from_servers=True)
    assert "cannot be read" in reason
