"""Pictures stay in their folder: every way out is refused, and what is missing is named with advice."""

import os
from pathlib import Path

import pytest

from ivl.data.pictures import PictureFolder
from ivl.errors import DataError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    (root / "images").mkdir(parents=True)
    (root / "clip").mkdir()
    for name in ("tofu.jpg", "images/rice.PNG", "clip/1.jpg", "食.jpg", "a;b: c.jpg"):
        (root / name).write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "up").symlink_to(tmp_path)
    (root / "in.jpg").symlink_to("tofu.jpg")
    os.mkfifo(root / "pipe.jpg")
    return PictureFolder(root)


@pytest.mark.parametrize("path", ["tofu.jpg", "./tofu.jpg", "images/../tofu.jpg", "食.jpg", "a;b: c.jpg", "in.jpg"])
def test_a_picture_in_the_folder_is_found(folder, path):
    found = folder.find(path)
    assert Path(found).is_file()
    assert found.startswith(folder.root + os.sep)


def test_an_absolute_path_in_the_folder_is_found(folder):
    assert folder.find(f"{folder.root}/tofu.jpg") == f"{folder.root}/tofu.jpg"


def test_a_data_uri_is_passed_on(folder):
    assert folder.find("data:image/png;base64,AAAA") == "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    "path",
    [
        *("../../etc/passwd", "/etc/passwd", "../secret.jpg", "out.jpg", "up/secret.jpg", "images/../../secret.jpg"),
        *("up/../../etc/passwd", "..", "/", "../pictures2/x.jpg"),
    ],
)
def test_every_way_out_is_refused(folder, path):
    for find in (folder.find, folder.find_video):
        with pytest.raises(DataError, match=r"outside of the image folder .* set image_folder"):
            find(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("http://a.example/x.jpg", "is an address, and nothing is fetched"),
        ("HTTPS://a.example/x.jpg", "is an address"),
        ("file:///etc/passwd", "is an address"),
        ("s3://bucket/x.jpg", "is an address"),
        ("data:text/html,x", "is an address"),
        ("model.pkl", "a file named .pkl is no picture"),
        ("a/b.PT", "a file named .pt is no picture"),
        ("pipe.jpg", "is a device, pipe or socket"),
        ("images", "is a folder"),
        (".", "is a folder"),
        ("a\0b.jpg", "is no path"),
        ("", "is no path"),
        ("x" * 2000, "is no path"),
        ("x" * 300, "cannot be reached"),
        (None, "is no path"),
        (7, "is no path"),
        ({"path": 1}, "is no path"),
        ("tofu.jpg/x.jpg", "cannot be reached|does not exist"),
    ],
)
def test_what_is_no_picture_is_refused(folder, path, reason):
    with pytest.raises(DataError, match=reason):
        folder.find(path)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("Tofu.JPG", "did you mean 'tofu.jpg'"),
        ("tofu.png", "did you mean 'tofu.jpg'"),
        ("images/rice.jpg", "did you mean 'images/rice.PNG'"),
        ("rice.PNG", "images'; set image_folder to that"),
        ("pictures/tofu.jpg", "set image_folder to that"),
        ("images\\rice.PNG", "write it with slashes, 'images/rice.PNG'"),
        ("soup.jpg", "check the path, or set image_folder"),
        ("no/folder/soup.jpg", "check the path, or set image_folder"),
    ],
)
def test_a_missing_picture_comes_with_advice(folder, path, advice):
    with pytest.raises(DataError, match=r"does not exist in") as caught:
        folder.find(path)
    assert advice in str(caught.value)


def test_frames_stay_in_the_folder_too(folder, tmp_path):
    assert folder.find_video("clip") == f"{folder.root}/clip"
    (tmp_path / "pictures" / "clip" / "2.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match=r"frame '2.jpg' is a link out of the image folder"):
        folder.find_video("clip")
    with pytest.raises(DataError, match=r"a device, pipe or socket"):
        folder.find_video("pipe.jpg")


@pytest.mark.parametrize(("name", "reason"), [("none", "does not exist"), ("secret.jpg", "is a file")])
def test_a_folder_is_needed(folder, tmp_path, name, reason):
    with pytest.raises(DataError, match=rf"image_folder .* {reason}"):
        PictureFolder(tmp_path / name)
