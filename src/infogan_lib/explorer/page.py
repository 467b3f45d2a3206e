"""The page: Gradio components for the controls of an `Explorer`, connected to its pictures. Needs Gradio."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from secrets import randbelow
from typing import Any

from infogan_lib._checks import require
from infogan_lib.explorer.controls import Bits, Choice, Control, ControlError, Sliders
from infogan_lib.explorer.style import DOWNLOAD, picture_html, problem_html, readout_html
from infogan_lib.explorer.uploads import MAX_BYTES, UploadError
from infogan_lib.explorer.views import MAX_IMAGES, MAX_SEED, MAX_STEPS, NOISE_ROWS, Encoding, Explorer, Picture

_MAX_RADIO, _MAX_OPEN_SLIDERS, _MAX_QUEUE = 16, 12, 64

_NOTE = (
    "Q predicts the codes of a picture, not its noise: whatever depends on the noise alone is lost, so the images are "
    "relatives of yours, not copies. Upload a picture, then change its codes: another digit in the same style, say."
)


def build_page(explorer: Explorer, *, title: str = "InfoGAN explorer") -> Any:
    """Build the page of a model, without serving it.

    Args:
        explorer: The explorer of the model.
        title: Title of the page.

    Returns:
        A `gradio.Blocks`.

    Raises:
        ImportError: If Gradio is not installed.
    """
    gr = require()
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        _Page(explorer, title)
    return page.queue(max_size=_MAX_QUEUE, api_open=False)


class _Page:
    """Creates the components in the current `Blocks` and connects them.

    The event handlers get the values of `inputs`: the view ("samples", "traversal" or "upload"), the encoding of the
    uploaded picture, the values of all controls' components, and the settings.
    """

    def __init__(self, explorer: Explorer, title: str) -> None:
        gr = require()
        self.explorer = explorer
        self.view, self.encoding = gr.State("samples"), gr.State(None)
        variables = explorer.model.latent.items()
        subtitle = ", ".join(f"{name}: {type(variable).__name__}({variable.width})" for name, variable in variables)
        gr.HTML(f"<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>", elem_id="title")
        with gr.Row():
            with gr.Column(scale=6, min_width=300, elem_id="shown"):
                self.picture = gr.HTML(elem_id="picture")
                self.message = gr.HTML(elem_id="message")
                gr.Button("Download PNG", size="sm", elem_id="download").click(
                    None, js=DOWNLOAD, queue=False, api_visibility="private"
                )
            with gr.Column(scale=5, min_width=300):
                self._add_tabs()
                self.components = [_add_components(control) for control in explorer.controls.values()]
                self._add_noise()
        self.codes = [component for components in self.components for component in components]
        self.settings = [self.seed, self.shared_noise, self.count, self.across, self.down, self.steps]
        self.inputs = [self.view, self.encoding, *self.codes, *self.settings]
        first = explorer.sample(explorer.defaults, seed=0, count=int(self.count.value), shared_noise=False)
        self.picture.value = picture_html(first)
        self._connect()

    def _add_tabs(self) -> None:
        gr = require()
        axes = self.explorer.axes
        with gr.Tabs():
            with gr.Tab("Samples", elem_id="tab-samples") as samples:
                self.count = gr.Slider(1, MAX_IMAGES, value=16, step=1, label="Images", elem_id="count")
            with gr.Tab("Traversal", elem_id="tab-traversal") as traversal:
                self.across = gr.Dropdown(axes, value=axes[0], label="Along the columns", elem_id="across")
                self.down = gr.Dropdown([NOISE_ROWS, *axes], value=NOISE_ROWS, label="Down the rows", elem_id="down")
                self.steps = gr.Slider(2, MAX_STEPS, value=8, step=1, label="Steps", elem_id="steps")
            with gr.Tab("Your picture", elem_id="tab-upload") as upload:
                gr.HTML(f'<p class="note">{_NOTE}</p>')
                self.upload = gr.File(
                    type="binary", label=f"PNG or JPEG, at most {MAX_BYTES // 2**20} MiB", height=130, elem_id="upload"
                )
                _accept_only_uploads(self.upload)
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
                self.reset = gr.Button("Reset the controls to your picture's codes", size="sm", elem_id="reset")
                self.readout = gr.HTML(elem_id="readout")
        self.tabs = {"samples": samples, "traversal": traversal, "upload": upload}

    def _add_noise(self) -> None:
        gr = require()
        with gr.Group(visible=self.explorer.has_noise):
            with gr.Row():
                self.seed = gr.Number(
                    0, label="Noise seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=120, elem_id="seed"
                )
                self.shared_noise = gr.Checkbox(
                    label="Same noise for all", info="Otherwise each image has its own", elem_id="shared-noise"
                )
            self.new_noise = gr.Button("New noise", size="md", elem_id="new-noise")

    def _connect(self) -> None:
        gr = require()
        # One queue for all events, so that pictures appear in the order of the events.
        options: dict[str, Any] = {
            "concurrency_id": "picture",
            "show_progress": "hidden",
            "trigger_mode": "always_last",
            "api_visibility": "private",
        }
        outputs = [self.picture, self.message]
        changes = [component.input for component in (*self.codes, *self.settings)]
        gr.on(changes, self.show, self.inputs, outputs, **options | {"api_visibility": "public", "api_name": "show"})
        self.new_noise.click(self.draw_noise, self.inputs, [self.seed, *outputs], **options)
        for view, tab in self.tabs.items():
            tab.select(partial(self.switch_view, view), self.inputs, [self.view, *outputs], **options)
        gr.on(
            [self.upload.upload, self.upload.clear, self.fit.input, self.invert.input],
            self.encode,
            [self.upload, self.fit, self.invert, *self.inputs],
            [self.view, self.encoding, self.readout, *self.codes, *outputs],
            **options | {"api_visibility": "public", "api_name": "encode"},
        )
        self.reset.click(self.set_controls, self.inputs, [*self.codes, *outputs], **options)

    def show(self, *inputs: Any) -> list[Any]:
        """The picture and an empty message; for invalid inputs the picture stays, and the message says why."""
        try:
            return [picture_html(self._make_picture(*inputs)), ""]
        except (ControlError, UploadError) as error:
            return [require().skip(), problem_html(str(error))]

    def switch_view(self, view: str, *inputs: Any) -> list[Any]:
        """Show another view. Gradio also selects the first tab when the page opens, which changes nothing."""
        if view == inputs[0]:
            return [require().skip()] * 3
        return [view, *self.show(view, *inputs[1:])]

    def draw_noise(self, *inputs: Any) -> list[Any]:
        """A random seed, and its picture."""
        position, seed = self.inputs.index(self.seed), randbelow(MAX_SEED)
        return [seed, *self.show(*inputs[:position], seed, *inputs[position + 1 :])]

    def encode(self, data: bytes | None, fit: Any, invert: bool, *inputs: Any) -> list[Any]:
        """The codes of an uploaded picture, and the controls set to them."""
        unchanged = [require().skip()] * len(self.codes)
        if data is None:
            return ["upload", None, "", *unchanged, *self.show("upload", None, *inputs[2:])]
        try:
            encoding = self.explorer.encode(data, fit=fit, invert=bool(invert))
        except UploadError as error:
            picture, _ = self.show("upload", None, *inputs[2:])
            return ["upload", None, "", *unchanged, picture, problem_html(str(error))]
        return ["upload", encoding, readout_html(encoding), *self.set_controls("upload", encoding, *inputs[2:])]

    def set_controls(self, view: str, encoding: Encoding | None, *inputs: Any) -> list[Any]:
        """The controls set to the codes of the uploaded picture, and the picture for them."""
        codes, settings = inputs[: len(self.codes)], inputs[len(self.codes) :]
        if encoding is not None:
            values = self._control_values(codes) | encoding.values
            controls = self.explorer.controls.items()
            codes = [part for name, control in controls for part in _component_values(control, values[name])]
        return [*codes, *self.show(view, encoding, *codes, *settings)]

    def _make_picture(self, view: str, encoding: Encoding | None, *inputs: Any) -> Picture:
        values = self._control_values(inputs[: len(self.codes)])
        seed, shared_noise, count, across, down, steps = inputs[len(self.codes) :]
        noise: dict[str, Any] = {"seed": 0 if seed is None else seed, "shared_noise": bool(shared_noise)}
        if view == "traversal":
            return self.explorer.traverse(values, across=across, down=down, steps=steps, **noise)
        if view == "upload" and encoding is not None:
            return self.explorer.compare(encoding, values, **noise)
        return self.explorer.sample(values, count=count, **noise)

    def _control_values(self, codes: Sequence[Any]) -> dict[str, Any]:
        """Values of the controls from the values of all their components."""
        values, rest = {}, iter(codes)
        for (name, control), components in zip(self.explorer.controls.items(), self.components, strict=True):
            parts = [next(rest) for _ in components]
            values[name] = parts if isinstance(control, Sliders) else parts[0]
        return values


def _component_values(control: Control, value: Any) -> list[Any]:
    """Values of a control's components from the value of the control."""
    return [round(x, 3) for x in value] if isinstance(control, Sliders) else [value]


def _add_components(control: Control) -> list[Any]:
    """The components of a control: a slider per dimension of `Sliders`, one component for any other."""
    gr = require()
    options: dict[str, Any] = {"label": control.name, "elem_id": f"code-{control.name}"}
    default = control.default
    if isinstance(control, Choice):
        choices = [(control.labels[index], index) for index in control.order]
        component = gr.Radio if len(choices) <= _MAX_RADIO else gr.Dropdown
        return [component(choices, value=default, **options)]
    if isinstance(control, Bits):
        return [gr.CheckboxGroup([(axis, bit) for bit, axis in enumerate(control.axes)], value=default, **options)]
    if not isinstance(control, Sliders):
        return [gr.Slider(0, 1, value=default, step=0.01, **options)]
    low, high = control.low, control.high
    with gr.Accordion(control.name, open=len(default) <= _MAX_OPEN_SLIDERS):
        return [
            gr.Slider(low, high, value=x, step=(high - low) / 200, label=axis, elem_id=f"code-{control.name}-{dim}")
            for dim, (axis, x) in enumerate(zip(control.axes, default, strict=True))
        ]


def _accept_only_uploads(component: Any) -> None:
    """Restrict a file component to uploaded files: Gradio would also fetch URLs and open files of this machine."""
    gr = require()
    move = component.async_move_resource_to_block_cache

    async def move_upload(path: Any) -> Any:
        folder = Path(component.GRADIO_CACHE).resolve()
        if "://" in str(path) or "\0" in str(path) or not Path(str(path)).resolve().is_relative_to(folder):
            raise gr.Error("this file was not uploaded; choose a file on the page", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = move_upload
