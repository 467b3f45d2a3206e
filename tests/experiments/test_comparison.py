"""One page on several runs: what differs, the spread over seeds, curves."""

import json
import math
import os
import re
import sys

import pytest

from infogan_lib.callbacks import JSONLLogger
from infogan_lib.checkpoints.run_folder import Checkpoint
from infogan_lib.experiments import Spread, compare, records
from infogan_lib.experiments.records import flatten, read_run
from infogan_lib.recipes import RunError
from memory import bounded_memory
from toys import images, make_trainer


def run_in(folder, seed, **settings):
    trainer = make_trainer(seed=seed, **settings)
    trainer.fit(images(32), steps=4, batch_size=8, checkpoints=folder)
    return trainer


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of four runs: two learning rates with two seeds each."""
    root = tmp_path_factory.mktemp("runs")
    return root, {
        (rate, seed): run_in(root / f"{rate}-{seed}", seed, lr_g=rate) for rate in (0.001, 0.002) for seed in (0, 1)
    }


def cells(page, name):
    """The cells of the row that begins with a name."""
    row = next(row for row in re.findall("<tr>(.*?)</tr>", page) if f">{name}</td>" in row)
    return re.findall("<td[^>]*>(.*?)</td>", row)[1:]


def test_the_page_has_what_differs_and_the_spread(tmp_path, runs):
    root, trainers = runs
    page = compare([root], tmp_path / "deep" / "page.html", title="Two <rates>").read_text()
    assert "Two &lt;rates&gt;" in page
    assert cells(page, "optimizers.g.lr") == ["0.001", "0.002"]
    assert ">optimizers.d.lr<" not in page
    assert 'data-label="A: g.lr 0.001, q.lr 0.001"' in page
    values = [trainers[0.001, seed].history["loss/d"].mean() for seed in (0, 1)]
    assert cells(page, "loss/d")[0] == str(Spread.of("loss/d", values))
    assert "worst" in cells(page, "loss/d")[0]
    assert page.count("data:image/png") >= 4
    assert page.count("<nav") == page.count("<main>") == 1
    assert "loss/d by step" in page


def test_runs_that_differ_in_their_seeds_are_one_group(tmp_path, runs):
    root, _ = runs
    page = compare([root / "0.001-0", root / "0.001-1"], tmp_path / "page.html").read_text()
    assert "2 runs in 1 group;" in page
    assert "No settings but the seeds differ" in page


def test_a_record_is_what_the_run_left(tmp_path, runs):
    root, trainers = runs
    record = read_run(root / "0.002-1")
    assert record.seed == "1"
    assert record.settings["latent.style.weight"] == "0.5"
    assert (record.history["loss/g"] == trainers[0.002, 1].history["loss/g"]).all()


def test_a_run_without_checkpoints_is_read_from_its_lines(tmp_path):
    trainer = make_trainer()
    trainer.fit(images(16), steps=2, batch_size=8, callbacks=[JSONLLogger(tmp_path / "metrics.jsonl")])
    result = {"recipe": "mine", "seed": 4, "width": 0.5, "accuracy": 0.9, "digits": 9, "symptoms": []}
    (tmp_path / "result.json").write_text(json.dumps(result))
    record = read_run(tmp_path)
    assert record.settings == {"recipe": "mine", "seed": "4", "width": "0.5"}
    assert (record.metrics["accuracy"], record.metrics["digits"]) == (0.9, 9)
    assert record.metrics["loss/d"] == trainer.history["loss/d"].mean()


LINE = '{"step": 1, "loss/d": 0.5}\n'


@pytest.mark.parametrize(
    ("steps", "kept"), [([1, 2, 3, 1, 2], [3, 4]), ([1, 2, 3, 4, 3, 4, 5], [0, 1, 4, 5, 6]), ([1, 1], [1])]
)
def test_a_log_of_a_run_that_was_begun_again_is_read_as_one_run(tmp_path, steps, kept):
    rows = [{"step": step, "loss/d": line} for line, step in enumerate(steps)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    history = read_run(tmp_path).history
    assert history["loss/d"].tolist() == kept
    assert history.steps("loss/d").tolist() == [steps[line] for line in kept]


def test_half_a_line_at_the_end_of_a_log_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINE + '{"step": 2, "lo')
    assert read_run(tmp_path).history["loss/d"].tolist() == [0.5]


def test_a_line_that_is_too_long_does_not_end_the_log(tmp_path):
    long = f'{{"step": 2, "{"a" * 2**20}": 1}}\n'
    (tmp_path / "metrics.jsonl").write_text(LINE + long + '{"step": 3, "loss/d": 0.5}\n')
    with pytest.raises(RunError, match=r"metrics.jsonl: cannot be read: it is no JSON"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"step": {10**40}, "loss/d": 1}}\n', "step must be a whole number from 0"),
        (f'{{"step": 1, "loss/d": {10**400}}}\n', "'loss/d' must be a number"),
        ('{"step": 1, "lo\n' + LINE, "it is no JSON"),
        ("[" * 10_000 + "\n", "it is no JSON"),
        ("\ud800\n", "it is no JSON"),
    ],
)
def test_what_is_wrong_with_a_line_of_a_log_is_said(tmp_path, content, message):
    (tmp_path / "metrics.jsonl").write_text(content, errors="surrogatepass")
    with pytest.raises(RunError, match=f"metrics.jsonl: cannot be read: .*{message}"):
        read_run(tmp_path)


def test_flattened_settings_have_names_and_no_needless_numbers():
    optimizers = [{"name": "g", "groups": [{"lr": 2}]}, {"name": "d", "groups": []}]
    settings = {"seed": 1, "o": optimizers, "t": [{"a": 1}, {"a": 2}], "r": [{"a": 3}]}
    assert dict(flatten(settings)) == {
        "seed": "1",
        "o.g.lr": "2",
        "o.d.groups": "[]",
        "t.0.a": "1",
        "t.1.a": "2",
        "r.0.a": "3",
    }


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: compare([p / "nothing"], p / "x.html"), RunError, "neither a run nor a folder of runs"),
        (lambda p: compare([], p / "x.html"), ValueError, "runs must be at least one folder"),
        (lambda p: compare(3, p / "x.html"), TypeError, "runs must be folders"),
    ],
)
def test_bad_arguments_leave_no_page(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert not (tmp_path / "x.html").exists()


def test_damage_is_named(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"result.json: cannot be read"):
        compare([tmp_path], tmp_path / "x.html")


WRONG = [None, 7, True, "words", [], [1], {"a": []}]


@pytest.mark.parametrize(
    ("field", "value"),
    [("metrics", value) for value in WRONG]
    + [("settings", value) for value in WRONG[:-1]]
    + [("symptoms", value) for value in WRONG if value != []],
)
def test_a_forged_result_is_refused_by_the_field(tmp_path, field, value):
    honest = {"metrics": {"nmi": 0.5, "loss/d": float("nan")}, "settings": {"a": 1}, "seed": 0, "symptoms": ["x"]}
    (tmp_path / "result.json").write_text(json.dumps(honest))
    assert read_run(tmp_path).symptoms == ["x"]
    (tmp_path / "result.json").write_text(json.dumps(honest | {field: value}))
    with pytest.raises(RunError, match=f"result.json: cannot be read: it.*{field[:-1]}"):
        read_run(tmp_path)


@pytest.mark.parametrize("value", [None, "0.5", [0.5], {}, True, 10**400])
def test_a_metric_is_a_number(tmp_path, value):
    (tmp_path / "result.json").write_text(json.dumps({"metrics": {"nmi": value}}))
    with pytest.raises(RunError, match="result.json: cannot be read: its metric 'nmi' must be a number"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "3", "{}", '{"step": -1}', '{"step": true}', '{"step": "1"}', '{"step": 1e300}'),
        *('{"step": 1, "a": "b"}', '{"step": 1, "a": [1]}', '{"step": 1, "": 1}', "\xff", "[" * 10**5),
        f'{{"step": 1, "{"a" * 300}": 1}}',
    ],
)
def test_a_line_of_a_log_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss/d": null}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(RunError, match=r"metrics.jsonl: cannot be read: (line 2: )?it") as refused:
        read_run(tmp_path)
    assert len(str(refused.value)) < 1000


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(RunError, match="not a regular file"):
        read_run(tmp_path)


@pytest.mark.parametrize("values", [(math.inf, 1.0), (math.nan, 1.0), (1.7e308, -1.7e308), (math.inf, -math.inf)])
def test_metrics_that_are_not_finite_have_a_page(tmp_path, values):
    for seed, value in enumerate(values):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "result.json").write_text(json.dumps({"metrics": {"nmi": value}, "seed": seed}))
    page = compare([tmp_path], tmp_path / "page.html").read_text()
    assert cells(page, "nmi") == [str(Spread.of("nmi", values))]
    assert not math.isfinite(Spread.of("nmi", values).sd)


@pytest.mark.parametrize("name", [r"bound/$\frac{$", "bound/\ud800"])
def test_a_metric_that_no_font_can_draw_has_a_curve(tmp_path, name):
    lines = [json.dumps({"step": step, name: 0.5}) for step in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert "data:image/png" in compare([tmp_path], tmp_path / "page.html").read_text()


def test_more_metrics_than_a_run_has_are_refused(tmp_path):
    lines = [json.dumps({"step": step, **{f"{step}_{i}": 1 for i in range(5001)}}) for step in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match="line 2: it must hold at most 10,000 metrics"):
        read_run(tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    metrics = dict.fromkeys(map(str, range(10_001)), 1)
    for content in ({"metrics": metrics}, metrics):
        (tmp_path / "result.json").write_text(json.dumps(content))
        with pytest.raises(RunError, match="at most 10,000 metrics"):
            read_run(tmp_path)


LONG = "a" * 10**5
NESTED = {"a": 1}
for _ in range(70):
    NESTED = {LONG[:10]: NESTED}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({LONG: dict.fromkeys(map(str, range(10_001)), 0)}, "at most 10,000 settings"),
        (NESTED, "nested at most 64 deep"),
        ({LONG: {LONG + str(i): LONG for i in range(5)}}, None),
    ],
    ids=["many", "deep", "long"],
)
@pytest.mark.parametrize("kind", ["result", "manifest"])
def test_settings_with_long_names_take_little_memory(tmp_path, monkeypatch, settings, message, kind):
    if kind == "result":
        (tmp_path / "result.json").write_text(json.dumps({"metrics": {}, "settings": settings}))
    else:
        metadata = {"settings": settings, "history": {"columns": [], "segments": []}}
        monkeypatch.setattr(records, "latest_metadata", lambda run: Checkpoint(tmp_path, metadata, None, {}))
    with bounded_memory(100):
        if message is None:
            record = read_run(tmp_path)
            assert max(len(text) for pair in record.settings.items() for text in pair) <= 1003
        else:
            with pytest.raises(RunError, match=f"cannot be read: .*{message}"):
                read_run(tmp_path)


def test_a_log_whose_steps_go_back_all_the_time_does_not_take_hours(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_MAX_LOOKED_AT", 2000)
    first = json.dumps({"step": 1} | {f"m{i}": 0.5 for i in range(100)}) + "\n"
    for times in (20, 30):
        (tmp_path / "metrics.jsonl").write_text(first + '{"step": 2, "m1": 1}\n' * times)
        if times == 20:
            assert len(read_run(tmp_path).history["m1"]) == 2
    with pytest.raises(RunError, match="line 23: its steps go back too often"):
        read_run(tmp_path)
