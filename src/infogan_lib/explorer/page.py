"""The page: Gradio components for the controls of an `Explorer`, wired to its pictures. Needs Gradio."""

import html
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from secrets import randbelow
from typing import Any

from infogan_lib._checks import require
from infogan_lib.explorer.bounds import ControlError
from infogan_lib.explorer.controls import Bits, Choice, Control, Sliders
from infogan_lib.explorer.look import DOWNLOAD, figure, problem, table
from infogan_lib.explorer.uploads import MAX_BYTES, UploadError
from infogan_lib.explorer.views import MAX_IMAGES, MAX_SEED, MAX_STEPS, NOISE_ROWS, Explorer, Picture, Reading

_MAX_RADIO = 16

_MAX_WAITING = 64

_OPEN_SLIDERS = 12

_NOTE = (
    "Q reads the codes of a picture, not its noise: what noise alone decides is lost, so the images are relatives of "
    "yours, not copies. Upload a picture, then move its codes: another digit in the same style, say."
)


def build(explorer: Explorer, *, title: str = "InfoGAN explorer") -> Any:
    """The page of a model, not yet served.

    Args:
        explorer: the pictures of the model.
        title: above the page.

    Returns:
        A `gradio.Blocks`.

    Raises:
        ImportError: Gradio is not installed.
    """
    gr = require()
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        _Page(explorer, title)
    return page.queue(max_size=_MAX_WAITING, api_open=False)


class _Page:
    """Lays out the components in the `Blocks` that is open, and wires them."""

    def __init__(self, explorer: Explorer, title: str) -> None:
        gr = require()
        self.explorer = explorer
        self.view, self.reading = gr.State("images"), gr.State(None)
        variables = explorer.model.latent.items()
        subtitle = html.escape(", ".join(f"{name}: {type(v).__name__}({v.width})" for name, v in variables))
        gr.HTML(f"<h1>{html.escape(title)}</h1><p>{subtitle}</p>", elem_id="title")
        with gr.Row():
            with gr.Column(scale=6, min_width=300, elem_id="shown"):
                self.picture = gr.HTML(elem_id="picture")
                self.message = gr.HTML(elem_id="message")
                gr.Button("Download PNG", size="sm", elem_id="download").click(
                    None, js=DOWNLOAD, queue=False, api_visibility="private"
                )
            with gr.Column(scale=5, min_width=300):
                self._views()
                self.fields = [_fields(control) for control in explorer.controls.values()]
                self._noise()
        self.codes = [component for fields in self.fields for component in fields]
        self.settings = [self.seed, self.one_noise, self.count, self.across, self.down, self.steps]
        self.inputs = [self.view, self.reading, *self.codes, *self.settings]
        self.picture.value = figure(
            explorer.images(explorer.defaults, seed=0, count=int(self.count.value), one_noise=False)
        )
        self._wire()

    def _views(self) -> None:
        gr = require()
        axes = self.explorer.axes
        with gr.Tabs():
            with gr.Tab("Images", elem_id="tab-images") as images:
                self.count = gr.Slider(1, MAX_IMAGES, value=16, step=1, label="Images", elem_id="count")
            with gr.Tab("Sweep", elem_id="tab-sweep") as sweep:
                self.across = gr.Dropdown(axes, value=axes[0], label="Along the columns", elem_id="across")
                self.down = gr.Dropdown([NOISE_ROWS, *axes], value=NOISE_ROWS, label="Down the rows", elem_id="down")
                self.steps = gr.Slider(2, MAX_STEPS, value=8, step=1, label="Steps", elem_id="steps")
            with gr.Tab("Your picture", elem_id="tab-picture") as picture:
                gr.HTML(f'<p class="note">{_NOTE}</p>')
                self.upload = gr.File(
                    type="binary", label=f"PNG or JPEG, at most {MAX_BYTES // 2**20} MiB", height=130, elem_id="upload"
                )
                _uploads_only(self.upload)
                with gr.Row():
                    self.fit = gr.Radio(
                        [("Crop", "crop"), ("Pad", "pad"), ("Stretch", "stretch")],
                        value="crop",
                        label="Fit",
                        elem_id="fit",
                        min_width=230,
                    )
                    self.invert = gr.Checkbox(
                        label="Invert", info="For dark strokes on paper", elem_id="invert", min_width=120
                    )
                self.again = gr.Button("Set the controls to what was read", size="sm", elem_id="again")
                self.told = gr.HTML(elem_id="told")
        self.tabs = {"images": images, "sweep": sweep, "picture": picture}

    def _noise(self) -> None:
        gr = require()
        with gr.Group(visible=self.explorer.has_noise):
            with gr.Row():
                self.seed = gr.Number(
                    0, label="Noise seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=120, elem_id="seed"
                )
                self.one_noise = gr.Checkbox(
                    label="One noise for all", info="Else each image has its own", elem_id="one-noise", min_width=160
                )
            self.reseed = gr.Button("New noise", size="md", elem_id="reseed")

    def _wire(self) -> None:
        gr = require()
        # One queue for all, so that pictures come in the order in which they were asked for.
        live: dict[str, Any] = {
            "concurrency_id": "picture",
            "show_progress": "hidden",
            "trigger_mode": "always_last",
            "api_visibility": "private",
        }
        shown = [self.picture, self.message]
        moved = [component.input for component in (*self.codes, *self.settings)]
        gr.on(moved, self.show, self.inputs, shown, **live | {"api_visibility": "public", "api_name": "show"})
        self.reseed.click(self.new_noise, self.inputs, [self.seed, *shown], **live)
        for view, tab in self.tabs.items():
            tab.select(partial(self.switch, view), self.inputs, [self.view, *shown], **live)
        read = [self.upload.upload, self.upload.clear, self.fit.input, self.invert.input]
        reading = [self.view, self.reading, self.told, *self.codes, *shown]
        public = {"api_visibility": "public", "api_name": "read"}
        gr.on(read, self.read, [self.upload, self.fit, self.invert, *self.inputs], reading, **live | public)
        self.again.click(self.take_over, self.inputs, [*self.codes, *shown], **live)

    def show(self, *inputs: Any) -> list[Any]:
        """The picture of what is set, or a message about what is wrong with it; the picture stays then."""
        gr = require()
        try:
            return [figure(self._picture(*inputs)), ""]
        except (ControlError, UploadError) as error:
            return [gr.skip(), problem(str(error))]

    def switch(self, view: str, *inputs: Any) -> list[Any]:
        """Show another kind of picture; the page says so of the first tab as well, when it opens."""
        if view == inputs[0]:
            return [require().skip()] * 3
        return [view, *self.show(view, *inputs[1:])]

    def new_noise(self, *inputs: Any) -> list[Any]:
        """Another seed, and the picture with it."""
        at, seed = 2 + len(self.codes), randbelow(MAX_SEED)
        return [seed, *self.show(*inputs[:at], seed, *inputs[at + 1 :])]

    def read(self, data: bytes | None, fit: Any, invert: bool, *inputs: Any) -> list[Any]:
        """The codes of an uploaded picture, and the controls set to them."""
        gr = require()
        kept = [gr.skip()] * len(self.codes)
        if data is None:
            return ["picture", None, "", *kept, *self.show("picture", None, *inputs[2:])]
        try:
            reading = self.explorer.read(data, fit=fit, invert=bool(invert))
        except UploadError as error:
            shown = self.show("picture", None, *inputs[2:])[0]
            return ["picture", None, "", *kept, shown, problem(str(error))]
        return ["picture", reading, table(reading), *self.take_over("picture", reading, *inputs[2:])]

    def take_over(self, view: str, reading: Reading | None, *inputs: Any) -> list[Any]:
        """The controls set to the codes of the uploaded picture, and the picture with them."""
        codes, rest = inputs[: len(self.codes)], inputs[len(self.codes) :]
        if reading is not None:
            values = self._values(codes) | reading.values
            codes = [x for name, c in self.explorer.controls.items() for x in _spread(c, values[name])]
        return [*codes, *self.show(view, reading, *codes, *rest)]

    def _picture(self, view: str, reading: Reading | None, *inputs: Any) -> Picture:
        values = self._values(inputs[: len(self.codes)])
        seed, one_noise, count, across, down, steps = inputs[len(self.codes) :]
        noise: dict[str, Any] = {"seed": 0 if seed is None else seed, "one_noise": bool(one_noise)}
        if view == "sweep":
            return self.explorer.sweep(values, across=across, down=down, steps=steps, **noise)
        if view == "picture" and reading is not None:
            return self.explorer.beside(reading, values, **noise)
        return self.explorer.images(values, count=count, **noise)

    def _values(self, codes: Sequence[Any]) -> dict[str, Any]:
        values, rest = {}, list(codes)
        for (name, control), fields in zip(self.explorer.controls.items(), self.fields, strict=True):
            own, rest = rest[: len(fields)], rest[len(fields) :]
            values[name] = own if isinstance(control, Sliders) else own[0]
        return values


def _spread(control: Control, value: Any) -> list[Any]:
    """A control's value as the values of its components."""
    return [round(x, 3) for x in value] if isinstance(control, Sliders) else [value]


def _fields(control: Control) -> list[Any]:
    """The components of a control: as many as `_spread` gives values."""
    gr = require()
    default = control.default
    if isinstance(control, Choice):
        choices = [(control.labels[number], number) for number in control.order]
        kind = gr.Radio if len(choices) <= _MAX_RADIO else gr.Dropdown
        return [kind(choices, value=default, label=control.name, elem_id=f"code-{control.name}")]
    if isinstance(control, Bits):
        bits = list(zip(control.axes, range(len(control.axes)), strict=True))
        return [gr.CheckboxGroup(bits, value=default, label=control.name, elem_id=f"code-{control.name}")]
    if not isinstance(control, Sliders):
        return [gr.Slider(0, 1, value=default, step=0.01, label=control.name, elem_id=f"code-{control.name}")]
    step = (control.high - control.low) / 200
    with gr.Accordion(control.name, open=len(default) <= _OPEN_SLIDERS):
        return [
            gr.Slider(
                *(control.low, control.high), value=x, step=step, label=axis, elem_id=f"code-{control.name}-{dim}"
            )
            for dim, (axis, x) in enumerate(zip(control.axes, default, strict=True))
        ]


def _uploads_only(upload: Any) -> None:
    """Have an upload take uploaded files alone: Gradio would fetch addresses, and open files of this machine."""
    gr = require()
    move, folder = upload.async_move_resource_to_block_cache, Path(upload.GRADIO_CACHE).resolve()

    async def refusing(path: Any) -> Any:
        if "://" in str(path) or not Path(str(path)).resolve().is_relative_to(folder):
            raise gr.Error("this file was not uploaded; choose a file on the page", print_exception=False)
        return await move(path)

    upload.async_move_resource_to_block_cache = refusing
