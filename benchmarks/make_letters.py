"""Render the letters A to J of many typefaces, for benchmarks/learning.py --data letters.

    sudo apt-get install --no-install-recommends $(python benchmarks/make_letters.py --packages)
    python benchmarks/make_letters.py

The first line installs Debian's packages of free fonts. The second renders what is in the folders of fonts into one
file: images (N, 28, 28) uint8, white on black, with labels 0 to 9 and the number of the typeface, split into training
and test images by typeface. Fonts are not redistributed, and neither is the file. Needs pillow and fonttools (the extra
`viz`), and brotli for fonts in WOFF2.
"""

import argparse
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont, TTLibError
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHIJ"
SIDE = 28
LARGEST = 22
"""Height or width of the largest letter of a font, in pixels."""
SCALE = 4
"""Letters are drawn larger and then reduced, so that no hinting for small sizes distorts them."""
STYLES = 8
"""At most so many fonts of a typeface, such as its weights and italics."""
CLONE = 2.0
"""A font whose letters differ by less than this from another typeface's, on average of 255, is a copy of it."""

SYMBOLS = re.compile("symbol|keyboard|D050000L", re.IGNORECASE)
"""Typefaces of something else in the places of letters."""

PACKAGES = """
3270 adf-accanthis adf-baskervald adf-berenis adf-gillius adf-ikarius adf-irianis adf-libris adf-mekanus adf-oldania
adf-romande adf-solothurn adf-switzera adf-tribun adf-universalis adf-verana agave allerta anonymous-pro arapey
averia-gwf averia-sans-gwf averia-serif-gwf b612 bebas-neue beteckna cabin cantarell cardo century-catalogue clear-sans
cmu comfortaa comic-neue compagnon courier-prime crosextra-caladea crosextra-carlito dancingscript dejavu-core
dejavu-extra dkg-handwriting dosis dustin ebgaramond ecolier-court elstob essays1743 eurofurence fantasque-sans fanwood
femkeklaver firacode freefont-otf georgewilliams gfs-didot gfs-neohellenic gnutypewriter go goudybookletter hack hermit
humor-sans inconsolata inter isabella jetbrains-mono junction junicode jura karla kaushanscript kristi lato league-mono
league-spartan leckerli-one levien-museum levien-typoscript liberation lindenhill linuxlibertine lobster lobstertwo
manrope millimetre monofur mononoki national-park okolaks oldstandard open-sans opendin oxygen paratype play prociono
quattrocento quicksand radisnoir roboto-unhinted roboto-slab routed-gothic rufscript sil-andika sil-charis
sil-gentiumplus sjfonts solide-mirage sora stix summersby texgyre tomsontalks tuffy ubuntu-title urw-base35 vollkorn
yanone-kaffeesatz
"""
"""Debian's packages, without "fonts-"."""

FOLDERS = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts"]

Letters = NDArray[np.uint8]


@dataclass(frozen=True)
class Font:
    """The letters of one font.

    Attributes:
        typeface: Name of its typeface.
        style: Name of its style, such as "Bold Italic".
        letters: Shape (10, 28, 28).
    """

    typeface: str
    style: str
    letters: Letters


def read_font(path: Path) -> Font | None:
    """Render the letters of a font file; None if it cannot be read, or does not have ten different letters."""
    try:
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            names, characters = font["name"], font.getBestCmap() or {}
            typeface, style = names.getBestFamilyName(), names.getBestSubFamilyName()
            if not typeface or SYMBOLS.search(typeface) or not all(ord(letter) in characters for letter in LETTERS):
                return None
            content = path.read_bytes()
            if font.flavor:  # WOFF and WOFF2, which PIL may not read
                font.flavor, unpacked = None, BytesIO()
                font.save(unpacked)
                content = unpacked.getvalue()
        letters = render(content)
    except (TTLibError, OSError, ValueError, KeyError, AssertionError):
        return None
    if letters is None or len({letter.tobytes() for letter in letters}) < len(LETTERS):
        return None
    return Font(plain_name(typeface), style or "", letters)


def plain_name(typeface: str) -> str:
    """Name of a typeface without weights and widths, which some fonts count as part of it."""
    words = r"\b(thin|hairline|ultra|extra|semi|demi|light|book|medium|bold|heavy|black|condensed|cond|narrow|extended)"
    return re.sub(r"[\s\-]+", " ", re.sub(words + r"\b", "", typeface, flags=re.IGNORECASE)).strip() or typeface


def render(font: bytes) -> Letters | None:
    """Draw the letters of a font, centered, at one size for all; None if one of them is empty or blank."""
    probe = ImageFont.truetype(BytesIO(font), 200)
    boxes = [probe.getbbox(letter) for letter in LETTERS]
    largest = max(max(right - left, bottom - top) for left, top, right, bottom in boxes)
    if min(min(right - left, bottom - top) for left, top, right, bottom in boxes) <= 0:
        return None
    sized = ImageFont.truetype(BytesIO(font), 200 * SCALE * LARGEST / largest)
    images = []
    for letter in LETTERS:
        image = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
        left, top, right, bottom = sized.getbbox(letter)
        corner = (SIDE * SCALE - left - right) / 2, (SIDE * SCALE - top - bottom) / 2
        ImageDraw.Draw(image).text(corner, letter, fill=255, font=sized)
        images.append(np.asarray(image.reduce(SCALE)))
    letters = np.stack(images)
    return letters if (letters.max(axis=(1, 2)) > 127).all() else None


def read_fonts(folders: Iterable[Path]) -> list[Font]:
    """Read all fonts of some folders: each style once, at most `STYLES` of a typeface, and no copies of another one."""
    kept: dict[tuple[str, str], Font] = {}
    for path in sorted(path for folder in folders for path in font_files(folder)):
        font = read_font(path)
        if font is None or (font.typeface, font.style) in kept:
            continue
        others = [other for other in kept.values() if other.typeface != font.typeface]
        if sum(other.typeface == font.typeface for other in kept.values()) < STYLES and not is_copy(font, others):
            kept[font.typeface, font.style] = font
    return list(kept.values())


def font_files(folder: Path) -> Iterator[Path]:
    """Files of scalable fonts below a folder."""
    return (path for path in folder.rglob("*") if path.suffix.lower() in {".ttf", ".otf", ".woff", ".woff2"})


def is_copy(font: Font, others: list[Font]) -> bool:
    """Whether a font has the letters of one of the others."""
    if not others:
        return False
    stack = np.stack([other.letters for other in others]).astype(np.int16)
    return bool(np.abs(stack - font.letters).mean(axis=(1, 2, 3)).min() < CLONE)


def is_test(typeface: str) -> bool:
    """Whether a typeface is for testing: a quarter of them, whichever others there are."""
    return hashlib.sha256(typeface.encode()).digest()[0] % 4 == 0


def split_arrays(fonts: list[Font]) -> dict[str, NDArray[np.generic]]:
    """Images, labels and numbers of typefaces, for training and testing."""
    typefaces = sorted({font.typeface for font in fonts})
    arrays: dict[str, NDArray[np.generic]] = {"typefaces": np.array(typefaces)}
    for name in ("train", "test"):
        part = [font for font in fonts if is_test(font.typeface) == (name == "test")]
        if not part:
            raise ValueError(f"{len(typefaces)} typefaces are too few: none is for {name}; give more folders of fonts")
        numbers = np.array([typefaces.index(font.typeface) for font in part])
        arrays[name] = np.concatenate([font.letters for font in part])
        arrays[f"{name}_labels"] = np.tile(np.arange(len(LETTERS), dtype=np.uint8), len(part))
        arrays[f"{name}_typefaces"] = np.repeat(numbers.astype(np.int16), len(LETTERS))
    return arrays


def main() -> None:
    from meter.data import default_cache

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=FOLDERS, help="folders of fonts")
    out = default_cache() / "letters.npz"
    parser.add_argument("--out", type=Path, default=out, help=f"file to write (default: {out})")
    parser.add_argument("--packages", action="store_true", help="only print the names of Debian's packages")
    options = parser.parse_args()
    if options.packages:
        print(" ".join(f"fonts-{name}" for name in PACKAGES.split()))
        return
    warnings.filterwarnings("ignore", module="fontTools")
    fonts = read_fonts(options.folders)
    arrays = split_arrays(fonts)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **arrays)  # pyright: ignore[reportArgumentType] - no array is named allow_pickle
    counts = {name: len(arrays[name]) for name in ("train", "test")}
    print(f"{len(fonts)} fonts of {len(arrays['typefaces'])} typefaces, {counts}, in {options.out}")


if __name__ == "__main__":
    main()
