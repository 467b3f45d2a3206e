"""Programs that `torchrun` starts."""

import json
import subprocess
from pathlib import Path

import pytest

from distributed_workers import torchrun

PROGRAM = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
import infogan_lib as ig
from toys import images, make_trainer

torch.manual_seed(int(os.environ["RANK"]))
out = Path(sys.argv[1])
trainer = make_trainer()
assert trainer.distributed.world_size == 2

class Kill(ig.Callback):
    on_all_processes = True

    def on_step_end(self, trainer, metrics):
        dies = "kill" in sys.argv and trainer.distributed.rank == 1 and not (out / "killed").exists()
        if dies and trainer.steps == 7:
            (out / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

trainer.fit(images(60), steps=12, batch_size=11, callbacks=[Kill()], checkpoints=ig.Checkpoints(out / "run", every=3))
if trainer.distributed.is_main:
    (out / "losses").write_text(str(trainer.history["loss/d"].tolist()))
"""


def launch(folder: Path, *options: str, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    return torchrun(folder / "program.py", str(folder), *options, restarts=restarts)


@pytest.mark.slow
def test_a_program_of_one_process_trains_on_two(tmp_path):
    straight = launch(tmp_path / "straight")
    assert straight.returncode == 0, straight.stderr
    assert len(json.loads((tmp_path / "straight" / "losses").read_text())) == 12


@pytest.mark.slow
def test_a_program_on_two_processes_survives_a_kill(tmp_path):
    straight = launch(tmp_path / "straight")
    assert straight.returncode == 0, straight.stderr
    killed = launch(tmp_path / "killed", "kill", restarts=3)
    assert killed.returncode == 0, killed.stderr
    assert (tmp_path / "killed" / "killed").exists()
    losses = [json.loads((tmp_path / name / "losses").read_text()) for name in ("straight", "killed")]
    assert len(losses[0]) == 12
    assert losses[0] == losses[1]


THREADS = """
import atexit, os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path

def count_threads():  # the last that runs before Python ends
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    (Path(sys.argv[1]) / os.environ["RANK"]).write_text(str(sum("gloo" in name for name in names)))

atexit.register(count_threads)
import torch
if "own" in sys.argv:
    torch.distributed.init_process_group("gloo")
from toys import images, make_trainer

trainer = make_trainer()
trainer.fit(images(24), steps=2, batch_size=8)
if "own" in sys.argv:
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("group", "left"), [("made here", 0), ("own", 3)])
def test_no_thread_of_the_library_meets_the_end_of_python(tmp_path, group, left):
    """Gloo's threads, of which Python's end makes SIGABRT; those of a program's own group are not ours to end."""
    if not Path("/proc/self/task").exists():
        pytest.skip("threads are counted in /proc")
    program = tmp_path / "program.py"
    program.write_text(THREADS)
    done = torchrun(program, str(tmp_path), group)
    assert done.returncode == 0, done.stderr
    assert all(int((tmp_path / str(rank)).read_text()) <= left for rank in range(2))
