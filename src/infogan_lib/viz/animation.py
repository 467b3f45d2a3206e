"""The pictures that `SampleGrid` leaves, as one that moves. Needs matplotlib, and pillow, which comes with it."""

from pathlib import Path

from infogan_lib._checks import real_number


def animate_folder(folder: str | Path, path: str | Path, *, seconds: float = 0.3) -> int:
    """Make an animated GIF of the pictures step_*.png in a folder, in the order of their steps; the last one stays.

    Args:
        folder: where `SampleGrid` wrote them.
        path: the GIF file; its folder is made.
        seconds: how long each picture is shown; the last one five times as long.

    Returns:
        The number of pictures.

    Raises:
        ValueError: no picture there, or pictures of different sizes.
        ImportError: pillow is not installed.
    """
    seconds = real_number("seconds", seconds, above=0)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("animations need pillow: pip install 'infogan-lib[viz]'") from error
    files = sorted(Path(folder).glob("step_*.png"))
    if not files:
        raise ValueError(f"there is no picture step_*.png in {folder}; SampleGrid writes them")
    frames = [Image.open(file).convert("RGB") for file in files]
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"the pictures in {folder} have different sizes, {sorted(sizes)}; give each run a folder")
    milliseconds = round(1000 * seconds)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    durations = [milliseconds] * (len(frames) - 1) + [5 * milliseconds]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return len(frames)
