"""Forges saved models and checkpoints under right checksums: every field that their descriptions name, one at a time,
is lost, joined by a stranger, or given values that the description excludes (`forgeries.py`). Each must be refused with
a CheckpointError that names the field, or be one of those that are tolerated: a field that may be missing or unknown,
and what a user's own object keeps. Nothing may end in another error.

    python tests/stress/forged_files.py             all of them, a few minutes
    python tests/stress/forged_files.py --every 7   every seventh
"""

import argparse
import hashlib
import json
import resource
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from forgeries import HUGE, Forgery, forgeries
from small_run import images
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

import infogan_lib as ig
from infogan_lib import hub, recipes
from infogan_lib._schema import Array, Described, Items, Kind, Record, Text, similar
from infogan_lib.callbacks import EarlyStopping, JSONLLogger
from infogan_lib.checkpoints.bundle import read_bundle
from infogan_lib.checkpoints.optimizer_schema import optimizer_schema, scheduler_schema
from infogan_lib.checkpoints.run_folder import read_checkpoint
from infogan_lib.checkpoints.segments import Segment, write_segment
from infogan_lib.checkpoints.tensor_file import encode
from infogan_lib.data.sources import make_source
from infogan_lib.data.stream import DataStream, Position
from infogan_lib.evaluation.collapse_monitor import CollapseMonitor
from infogan_lib.history.records import CONTENT, Records, read_records
from infogan_lib.hub.folder import CONFIG, OWN_FIELDS, WEIGHTS
from infogan_lib.model.plan import PLAN, VERSIONS
from infogan_lib.model.state import MODEL_STATE
from infogan_lib.resume.ledger import RUN_METADATA

MAX_BYTES = 1 << 28

LATENT = ig.LatentSpec(
    z=ig.Noise(5),
    digit=ig.Categorical(4),
    size=ig.Label(3, probs=(0.5, 0.25, 0.25), learn_probs_after=1, supervision=0.5),
    style=ig.Uniform(2, weight=0.5),
)

LATENTS = [
    *({"z": {"kind": "Noise", "dim": dim}} for dim in (10**9, 10**12, HUGE, 1e300, -1, 0, None, "5", [], {}, True)),
    *({"c": {"kind": "Categorical", "k": k}} for k in (10**9, 10**12, HUGE, 1e300, -1, 1, None, "5", [], {}, True)),
    *({"c": {"kind": "Categorical", "k": 4, "weight": w}} for w in (float("nan"), float("inf"), -1, "1", None, HUGE)),
    *({"c": {"kind": "Uniform", "low": low}} for low in (float("nan"), -float("inf"), 5, "1", None, HUGE, -1.7e308)),
    *({"c": {"kind": kind}} for kind in ("object", "__class__", "LatentCode", "", None, 7, [], {})),
    *(
        {"c": {"kind": "Uniform", "loss": loss}}
        for loss in ({}, [], "MSE", {"kind": "object"}, {"kind": "CrossEntropy"})
    ),
    *(
        {"c": {"kind": "Uniform", "loss": {"kind": "NormalNLL", "scale": s}}}
        for s in (-1, 0, float("nan"), "1", [], HUGE)
    ),
    *(
        {"c": {"kind": "Categorical", "k": 4, "probs": probs}}
        for probs in (
            [float("nan")] * 4,
            [1e308] * 4,
            [HUGE, 0, 0, 0],
            [0.5] * 2,
            [1, 0, 0, 0],
            [[0.25] * 4],
            [],
            "abcd",
            7,
        )
    ),
    *(
        {"c": {"kind": kind, "k": 4, "learn_probs_after": after}}
        for kind in ("Categorical", "Label")
        for after in (-1, 1.5, HUGE, 1e300, float("nan"), True, "1", [], {})
    ),
    *({"c": {"kind": "Label", "k": 4, "supervision": mu}} for mu in (0, -1, float("inf"), None, "1", [], HUGE)),
    {f"c{i}": {"kind": "Categorical", "k": 10**5} for i in range(1000)},
    {f"c{i}": {"kind": "Categorical", "k": 2} for i in range(15_000)},
]
"""Latents that no model here has, as JSON."""


def networks() -> tuple[nn.Module, nn.Module]:
    """G and D."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        *(nn.Linear(LATENT.width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 64)),
        *(nn.Unflatten(1, (1, 8, 8)), nn.Tanh()),
    )
    return generator, nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LeakyReLU(0.1), nn.Linear(8, 1))


def trainer(precision: Any = "fp32") -> ig.InfoGANTrainer:
    return ig.InfoGANTrainer(
        *networks(),
        LATENT,
        ema_decay=0.9,
        engine=ig.Engine("cpu", precision=precision),
        optimizers=ig.Optimizers(scheduler=lambda optimizer: StepLR(optimizer, 5)),
    )


_OTHER_WORDS = (
    "it is damaged",  # JSON has no NaN, so a manifest that holds one is no manifest
    "its Q is",  # "q" of a model
    "is not in it",  # names what is missing, in a whole dict that was lost
    "was no DataLoader",  # lacks one of its fields
    "groups of",  # the numbers of an optimizer's parameters
    "whose runs cannot be resumed",  # the format of the run
    "was not written by save_pretrained",  # the library's name in a config
    "it was saved with",  # lists the schedulers or callbacks of then and now
)
"""What a refusal may say in place of the field."""


class Target(NamedTuple):
    """A file that is forged: its parts, their descriptions, and the program that loads it."""

    name: str
    schema: Kind
    honest: Any
    write: Callable[[Path, Any], None]
    load: Callable[[Path], object]


def write_bundle(folder: Path, kind: str, metadata: Any, state: bytes, others: Mapping[str, Any] = {}) -> None:
    """A bundle with right checksums, whatever is in it."""
    for path in folder.iterdir():
        path.unlink()
    digest = hashlib.sha256(state).hexdigest()
    (folder / f"state-{digest[:16]}.safetensors").write_bytes(state)
    entry = {"bytes": len(state), "sha256": digest}
    manifest = {"kind": kind, "format": 2, "metadata": metadata, "state": entry, **others}
    text = json.dumps(manifest, indent=1) + "\n"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"checksum": checksum}, indent=1) + "\n")


def _of_any_version(fields: Record) -> Record:
    """Fields of a file that a newer version may have written with others, which are ignored with a warning."""
    return Record(fields.fields, optional=fields.optional, is_open=True)


def model_targets(scratch: Path) -> list[Target]:
    """The manifest and the state of a saved model."""
    model = trainer().model
    model.set_category_names("digit", list("abcd"))
    model.pixel_range = (-1.0, 1.0)
    model.save(scratch / "model")
    metadata, state = read_bundle(scratch / "model", "model", max_bytes=MAX_BYTES)
    data = encode(state)

    def load(folder: Path) -> object:
        generator, discriminator = networks()
        return ig.InfoGAN.load(folder, generator=generator, discriminator=discriminator)

    def write_plan(folder: Path, plan: Any) -> None:
        write_bundle(folder, "model", plan, data)

    def write_state(folder: Path, state: Any) -> None:
        write_bundle(folder, "model", metadata, encode(state))

    tensors = tensor_kinds({name: tensor for name, tensor in state.items() if name != "versions"})
    return [
        Target("model: manifest", _of_any_version(PLAN), metadata, write_plan, load),
        Target("model: state", Record({"versions": VERSIONS, **tensors}), state, write_state, load),
    ]


def hub_targets(scratch: Path) -> list[Target]:
    """The config of a model in the hub's form, read with its networks, with G alone, and with its recipe."""
    model, recipe = trainer().model, recipes.get("default", width=1 / 16)
    model.set_category_names("digit", list("abcd"))
    hub.save_pretrained(model, scratch / "hub", card="x")
    hub.save_pretrained(recipe.model(), scratch / "recipe", recipe=recipe, card="x")
    schema = _of_any_version(Record({**PLAN.fields, **OWN_FIELDS.fields}, optional=PLAN.optional | {"recipe"}))

    def target(name: str, source: Path, load: Callable[[Path], object]) -> Target:
        def write(folder: Path, config: Any) -> None:
            shutil.copy(source / WEIGHTS, folder / WEIGHTS)
            (folder / CONFIG).write_text(json.dumps(config))

        return Target(f"{name}: config", schema, json.loads((source / CONFIG).read_text()), write, load)

    def load_both(folder: Path) -> object:
        generator, discriminator = networks()
        return hub.from_pretrained(folder, generator=generator, discriminator=discriminator)

    def load_alone(folder: Path) -> object:
        try:
            return hub.from_pretrained(folder)
        except ValueError as error:
            if "was saved without a recipe" not in str(error):
                raise
            raise ig.CheckpointError(folder, str(error)) from error  # what is missing is an argument, and is named

    return [
        target("hub, G and D", scratch / "hub", load_both),
        target("hub, G", scratch / "hub", lambda folder: hub.from_pretrained(folder, generator=networks()[0])),
        target("hub, a recipe", scratch / "recipe", load_alone),
    ]


def run_targets(scratch: Path, name: str, data: Callable[[], Any], precision: Any) -> list[Target]:
    """The manifest and the state of a run's checkpoint."""
    folder = scratch / name

    def fit(checkpoints: ig.Checkpoints, steps: int) -> ig.InfoGANTrainer:
        callbacks = [JSONLLogger(folder / "log.jsonl"), CollapseMonitor(every=1, after=0, samples=8), stopping()]
        t = trainer(precision)
        t.fit(data(), steps=steps, batch_size=12, callbacks=callbacks, checkpoints=checkpoints)
        return t

    t = fit(ig.Checkpoints(folder), 2)
    checkpoint = read_checkpoint(folder, max_bytes=MAX_BYTES)
    plain = encode(checkpoint.state)

    def write_metadata(folder: Path, metadata: Any) -> None:
        write_bundle(folder, "checkpoint", metadata, plain)

    def write_state(folder: Path, state: Any) -> None:
        write_bundle(folder, "checkpoint", checkpoint.metadata, encode(state))

    def load(folder: Path) -> object:
        return fit(ig.Checkpoints(None, resume=folder), 3)

    schema = run_schema(t, checkpoint.state, data())
    return [
        Target(f"{name}: manifest", _of_any_version(RUN_METADATA), checkpoint.metadata, write_metadata, load),
        Target(f"{name}: state", schema, checkpoint.state, write_state, load),
    ]


def segment_target() -> Target:
    """A segment of a history, whose checksum is that in the manifest."""
    records = Records.of({"loss/d": (np.array([1]), np.array([0.5]))}, np.array([1]))

    def write(folder: Path, content: Any) -> None:
        for path in folder.iterdir():
            path.unlink()
        write_segment(folder, content, ["loss/d"], 1, 1)

    def load(folder: Path) -> object:
        (path,) = folder.iterdir()
        data = path.read_bytes()
        return read_records(Segment(hashlib.sha256(data).hexdigest(), len(data), 1, 1, ("loss/d",), folder))

    return Target("history: segment", CONTENT, records.state_dict(), write, load)


def tensor_kinds(tensors: Mapping[str, torch.Tensor]) -> dict[str, Kind]:
    """The descriptions of a model's tensors; learned priors are probabilities."""
    return {
        name: Array(tensor.dtype, tuple(tensor.shape), 0) if name.startswith("priors.") else similar(tensor)
        for name, tensor in tensors.items()
    }


def run_schema(t: ig.InfoGANTrainer, state: Any, data: Any) -> Record:
    """The description of a checkpoint's state: that of each part."""
    parts: dict[str, Kind] = {n: p.schema for n, p in t._ledger.parts.items() if isinstance(p, Described)}
    parts["model"] = Record({**MODEL_STATE.fields, "tensors": Record(tensor_kinds(state["model"]["tensors"]))})
    parts["optimizers"] = Items(tuple(map(optimizer_schema, t.optimizers.values())))
    own = [Items((Text(), scheduler_schema(scheduler))) for scheduler in t.schedulers]
    parts["schedulers"] = Items(tuple(own))
    callbacks = JSONLLogger("log.jsonl"), CollapseMonitor(), stopping()
    parts["callbacks"] = Items(tuple(Items((Text(), callback.schema)) for callback in callbacks))
    device = torch.device("cpu")
    source = make_source(data, batch_size=12, num_workers=0, seed=0, device=device, read=t._read_batch)
    return Record(parts | {"data": DataStream(source, Position()).schema})


def latent_forgeries() -> Iterator[Forgery]:
    """Manifests of a model whose latent is another text."""
    texts = [json.dumps(latent) for latent in LATENTS]
    texts += ["[" * 100_000, '{"a":' * 3000 + "1" + "}" * 3000, "", "null", '{"a": 1, "a": 2}', "9" * 5000]
    nested = '{"kind": "CrossEntropy", "a": ' * 900 + "1" + "}" * 900
    yield from (Forgery(("latent",), text) for text in [*texts, '{"c": {"kind": "Uniform", "loss": ' + nested + "}}"])


def manifest_forgeries() -> Iterator[dict[str, Any]]:
    """Fields of the manifest itself, beside the metadata."""
    for name in ("kind", "format", "metadata", "state"):
        yield from ({name: wrong} for wrong in (None, "words", 7, -1, 3.5, True, [], {}, HUGE))
    for name in ("bytes", "sha256"):
        for wrong in (None, "words", -1, 3.5, True, [], {}, HUGE, 1 << 60, "0" * 64, "../" * 21 + "0"):
            yield {"state": {"bytes": 10, "sha256": "0" * 64} | {name: wrong}}


def attack(every: int = 1) -> tuple[Counter[str], list[str]]:
    """Forge files and load them.

    Args:
        every: Forge only every so manieth of them.

    Returns:
        How many by file and outcome, and a line on each that ended as it should not.
    """
    counts, faults = Counter[str](), []
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scratch, forged = Path(name), Path(name) / "forged"
        forged.mkdir()
        model, *others = [
            *model_targets(scratch),
            *run_targets(scratch, "run", labeled_images, "fp32"),
            *run_targets(scratch, "run of a loader", _loader, "fp16"),
            segment_target(),
            *hub_targets(scratch),
        ]
        for target in (model, *others):
            target.write(forged, target.honest)
            target.load(forged)  # the honest file is taken
            more = latent_forgeries() if target is model else ()
            for forgery in islice(chain(forgeries(target.schema, target.honest), more), 0, None, every):
                if target.name.endswith(("manifest", "config")) and forgery.path[-1:] == (7,):
                    continue  # JSON has no such key
                try:
                    target.write(forged, forgery.apply(target.honest))
                except TypeError:  # a tensor, where only JSON can be
                    continue
                if _has_fewer_callbacks(forgery, target.honest):
                    forgery = forgery._replace(must_be_refused=False)
                outcome = _outcome(target.load, forged, forgery)
                counts[f"{target.name}: {outcome.partition(':')[0]}"] += 1
                if outcome not in ("refused", "taken, as it may be"):
                    faults.append(f"{target.name}: {forgery}: {outcome}")
        model.write(forged, model.honest)
        data = next(forged.glob("state-*")).read_bytes()
        for fields in islice(manifest_forgeries(), 0, None, every):
            write_bundle(forged, "model", model.honest, data, fields)
            outcome = _outcome(model.load, forged, Forgery((), None))
            counts[f"any manifest: {outcome}"] += 1
            if outcome != "refused":
                faults.append(f"any manifest: {str(fields)[:60]}: {outcome}")
    return counts, faults


def _has_fewer_callbacks(forgery: Forgery, honest: Any) -> bool:
    """Whether all that is forged is that the run had fewer callbacks than the branch that begins from it."""
    return (
        forgery.path == ("callbacks",)
        and isinstance(forgery.value, list)
        and all(any(entry is own for own in honest["callbacks"]) for entry in forgery.value)
    )


def _outcome(load: Callable[[Path], object], folder: Path, forgery: Forgery) -> str:
    started = time.process_time()
    try:
        load(folder)
    except ig.CheckpointError as error:
        names = [part for part in forgery.path if isinstance(part, str)]
        name = names[-1].removeprefix("generator.").removeprefix("discriminator.") if names else ""
        is_named = name in str(error) or any(words in str(error) for words in _OTHER_WORDS)
        outcome = "refused" if is_named else f"REFUSED WITHOUT A NAME: {error.reason[:200]}"
    except BaseException as error:
        return f"WRONG ERROR {type(error).__name__}: {str(error)[:200]}"
    else:
        outcome = "TAKEN" if forgery.must_be_refused else "taken, as it may be"
    return outcome if time.process_time() - started < 10 else f"SLOW, {outcome}"


def stopping() -> EarlyStopping:
    return EarlyStopping("loss/d", mode="min", every=1)


def labeled_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Images and their labels, some of which are unknown."""
    return images(), torch.arange(len(images())) % 4 - 1


def _loader() -> DataLoader[Any]:
    return DataLoader(
        TensorDataset(*labeled_images()),
        batch_size=12,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        drop_last=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    torch.set_num_threads(1)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    counts, faults = attack(parser.parse_args().every)
    for outcome, number in sorted(counts.items()):
        print(f"{outcome:<60}{number:>7}")
    print("\n".join(faults))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds = time.monotonic() - started
    print(f"{counts.total()} forgeries, {len(faults)} faults; memory grew by {grown:.0f} MiB, {seconds:.0f} seconds")
