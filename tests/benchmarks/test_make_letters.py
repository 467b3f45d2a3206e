"""Letters rendered from the fonts that come with matplotlib."""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.ttLib import TTFont

from make_letters import LARGEST, Font, is_test, plain_name, read_font, read_fonts, split_arrays
from meter.data import load

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def test_letters_are_centered_and_of_one_size():
    font = read_font(FONTS / "DejaVuSans.ttf")
    assert font is not None
    assert font.typeface == "DejaVu Sans"
    assert font.letters.shape == (10, 28, 28)
    sizes = []
    for letter in font.letters:
        rows, columns = (np.flatnonzero((letter > 40).any(axis=axis)) for axis in (1, 0))
        assert rows[0] + rows[-1] == pytest.approx(27, abs=2)
        assert columns[0] + columns[-1] == pytest.approx(27, abs=2)
        sizes.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
    assert max(map(max, sizes)) == pytest.approx(LARGEST, abs=1)
    assert sizes[8][1] < 6 < sizes[7][1]  # an I is narrower than an H
    assert font.letters[0, :, 13:15].sum() > font.letters[2, :, 13:15].sum() > 0


def test_fonts_are_read_once_and_symbols_never(tmp_path):
    for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf", "STIXSizOneSymReg.ttf"):
        shutil.copy(FONTS / name, tmp_path)
    shutil.copy(FONTS / "DejaVuSans.ttf", tmp_path / "again.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with TTFont(FONTS / "DejaVuSerif.ttf") as font:  # a clone under another name
        for entry in font["name"].names:
            if entry.nameID in (1, 16):
                entry.string = "Another Serif"
        font.save(tmp_path / "Clone.ttf")
    fonts = read_fonts([tmp_path])
    assert len({(font.typeface, font.style) for font in fonts}) == len(fonts) == 4
    assert [font.style for font in fonts if font.typeface == "DejaVu Sans"] == ["Bold", "Book"]
    assert {font.typeface for font in fonts} == {"DejaVu Sans", "Another Serif", "STIXGeneral"}


def test_woff2_gives_the_same_letters(tmp_path):
    pytest.importorskip("brotli")
    with TTFont(FONTS / "DejaVuSans.ttf") as font:
        font.flavor = "woff2"
        font.save(tmp_path / "packed.woff2")
    packed, plain = read_font(tmp_path / "packed.woff2"), read_font(FONTS / "DejaVuSans.ttf")
    assert packed is not None
    assert plain is not None
    np.testing.assert_array_equal(packed.letters, plain.letters)


def test_names_without_weights():
    assert plain_name("Lato Black") == plain_name("Lato Semi-Bold") == "Lato"
    assert plain_name("Averia Serif") == "Averia Serif"
    assert plain_name("Black") == "Black"


def test_a_typeface_is_trained_on_or_tested_with(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"Face {k // 2}" for k in range(40)]
    fonts = [Font(name, str(k), rng.integers(0, 256, (10, 28, 28), np.uint8)) for k, name in enumerate(names)]
    np.savez(tmp_path / "letters.npz", **split_arrays(fonts))
    data = load("letters", select="test", folder=tmp_path)
    tested = [font for font in fonts if is_test(font.typeface)]
    assert 0 < len(tested) < 40
    np.testing.assert_array_equal(data.test[:, 0], np.concatenate([font.letters for font in tested]))
    assert len(data.train) == 400 - len(data.test)
    assert data.test_labels.tolist() == [*range(10)] * len(tested)
    assert len(data.groups.unique()) + len({font.typeface for font in tested}) == 20
    with pytest.raises(ValueError, match="1 typefaces are too few"):
        split_arrays(fonts[:2])
