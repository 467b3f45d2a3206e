"""A folder of pictures as a data set."""

import sys

import numpy as np
import pytest
import torch

from infogan_lib.data import ImageFolder, image_folder
from toys import dense_discriminator, dense_generator, make_trainer

Image = pytest.importorskip("PIL.Image")


def save(path, values, mode="RGB", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).convert(mode).save(path, **settings)


def noise(height=4, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))


@pytest.fixture
def folder(tmp_path):
    for i in range(8):
        save(tmp_path / "root" / ("cats" if i % 2 else "dogs") / "deep" / f"{i}.png", noise(seed=i))
    return tmp_path / "root"


def test_sub_folders_are_classes(folder):
    data = ImageFolder(folder, size=4)
    assert (data.classes, data.labels, len(data)) == (["cats", "dogs"], [0] * 4 + [1] * 4, 8)
    image, label = data[4]
    assert (image.dtype, image.shape, label) == (torch.uint8, (3, 4, 4), 1)
    assert torch.equal(image, torch.from_numpy(noise(seed=0)).permute(2, 0, 1))
    assert image.is_contiguous()


def test_a_flat_folder_has_images_alone(tmp_path):
    save(tmp_path / "b.png", noise(seed=1))
    save(tmp_path / "a.JPG", noise(), format="PNG")
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    data = ImageFolder(tmp_path, size=4)
    assert [path.name for path in data.files] == ["a.JPG", "b.png"]
    assert data.classes == data.labels == data.unreadable == []
    assert torch.equal(data[0], torch.from_numpy(noise()).permute(2, 0, 1))


def test_pictures_cover_the_size_and_are_cropped_at_their_center(tmp_path):
    values = np.zeros((8, 16, 3))
    values[:, 4:12] = 255
    save(tmp_path / "wide.png", values)
    assert torch.equal(ImageFolder(tmp_path, size=8)[0], torch.full((3, 8, 8), 255, dtype=torch.uint8))
    assert ImageFolder(tmp_path, size=(2, 6), mode="L")[0].shape == (1, 2, 6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB", "CMYK"])
def test_every_kind_of_picture_becomes_gray_or_color(mode, tmp_path):
    save(tmp_path / "a.tiff", np.full((4, 4, 3), 255), mode=mode)
    for wanted, channels in (("RGB", 3), ("L", 1)):
        image = ImageFolder(tmp_path, size=4, mode=wanted)[0]
        assert torch.equal(image, torch.full((channels, 4, 4), 255, dtype=torch.uint8))


def test_pictures_of_16_bits_keep_their_upper_eight(tmp_path):
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096).save(tmp_path / "deep.png")
    assert ImageFolder(tmp_path, size=4, mode="L")[0].flatten().tolist() == [16 * i for i in range(16)]


def test_a_turned_photograph_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    save(tmp_path / "a.png", noise(), exif=exif)
    assert torch.equal(ImageFolder(tmp_path, size=4)[0], torch.from_numpy(noise()).permute(2, 0, 1).flip(1, 2))


def test_unreadable_files_are_counted_and_named(folder):
    whole = (folder / "cats" / "deep" / "1.png").read_bytes()
    (folder / "cats" / "deep" / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dogs" / "text.png").write_text("no picture")
    (folder / "gone").mkdir()
    (folder / "gone" / "a.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"3 of 10 pictures .* left out: .*1.png: .*text.png: .*a.png: "):
        data = ImageFolder(folder, size=4)
    assert (data.classes, data.labels) == (["cats", "dogs"], [0] * 3 + [1] * 4)
    assert sorted(path.name for path in data.unreadable) == ["1.png", "a.png", "text.png"]


def test_what_is_no_folder_of_pictures_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="none at .*nowhere"):
        ImageFolder(tmp_path / "nowhere", size=4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="it holds no pictures"):
        ImageFolder(tmp_path / "empty", size=4)
    (tmp_path / "empty" / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match="none of its 1 pictures"), pytest.warns(UserWarning, match="1 of 1"):
        ImageFolder(tmp_path / "empty", size=4)
    save(folder / "cover.png", noise())
    with pytest.raises(ValueError, match=r"both in sub-folders, such as 'cats', and beside them, such as 'cover.png'"):
        ImageFolder(folder, size=4)


def test_without_pillow_the_error_has_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pip install 'infogan-lib\[viz\]'"):
        ImageFolder(tmp_path, size=4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_is_trained_on_and_resumed(folder, tmp_path, workers):
    def trainer():
        torch.manual_seed(0)
        return make_trainer(dense_generator(shape=(3, 4, 4)), dense_discriminator((3, 4, 4)))

    data, whole, resumed = ImageFolder(folder, size=4), trainer(), trainer()
    whole.fit(data, epochs=2, batch_size=4)
    trainer().fit(data, epochs=1, batch_size=4, num_workers=workers, checkpoints=tmp_path / "run")
    resumed.fit(data, epochs=2, batch_size=4, num_workers=workers, checkpoints=tmp_path / "run")
    assert resumed.history["loss/d"].tolist() == whole.history["loss/d"].tolist()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_very_many_pixels_is_not_unpacked(tmp_path, monkeypatch):
    save(tmp_path / "small.png", noise())
    save(tmp_path / "large.png", np.zeros((200, 200, 3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 39_999)
    with pytest.warns(UserWarning, match=r"large.png: ValueError: it has 40,000 pixels, more than PIL.Image.MAX_IMAGE"):
        assert len(ImageFolder(tmp_path, 4)) == 1


def test_pixels_of_32_bits_are_not_cut_off(tmp_path):
    for name, values in (("large", [[0, 70_000]]), ("negative", [[-1, 0]]), ("sixteen", [[0, 65_535]])):
        Image.fromarray(np.array(values, dtype=np.int32)).save(tmp_path / f"{name}.tif")
    with pytest.warns(UserWarning, match="its pixels are from 0 to 70,000, and at most 16 bits are read"):
        data = ImageFolder(tmp_path, (1, 2))
    assert [path.stem for path in data.files] == ["sixteen"]
    assert data[0][0].tolist() == [[0, 255]]


def test_a_picture_that_is_damaged_later_is_named(folder):
    data = ImageFolder(folder, 4)
    path = data.files[3]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(OSError, match=f"{path.name} could be read before, and cannot be now"):
        data[3]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\udcff"])
def test_a_class_has_a_name_that_can_be_shown(tmp_path, name):
    save(tmp_path / name / "a.png", noise())
    with pytest.raises(ValueError, match="the name of a sub-folder must be text without control characters"):
        ImageFolder(tmp_path, 4)


def test_a_file_is_decoded_as_a_picture_and_nothing_else(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    programs = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **named: programs.append(given))
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n%%EOF\n")
    with pytest.raises(ValueError, match="none of its 1 pictures can be read"), pytest.warns(match="cannot identify"):
        ImageFolder(tmp_path, size=4)
    assert programs == []


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    locked, as_bytes = [], image_folder._as_bytes

    def note(picture):
        locked.append(image_folder._large_pictures.locked())
        return as_bytes(picture)

    monkeypatch.setattr(image_folder, "_as_bytes", note)
    save(tmp_path / "a.png", noise())
    ImageFolder(tmp_path, size=4)
    monkeypatch.setattr(image_folder, "_LARGE", 16)
    ImageFolder(tmp_path, size=4)
    assert locked == [False, True]
