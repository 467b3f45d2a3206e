"""Several runs: train them over seeds and settings, and read them side by side.

result = sweep(make_recipe, images, out="runs/sweep", seeds=range(3), grid={"width": [0.5, 1.0]})
print(result)
compare("runs/sweep", "compare.html")
"""

from infogan_lib.experiments.comparison import compare
from infogan_lib.experiments.spread import Spread
from infogan_lib.experiments.sweeps import SweepResult, sweep

__all__ = ["Spread", "SweepResult", "compare", "sweep"]
