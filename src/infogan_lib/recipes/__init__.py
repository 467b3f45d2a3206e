"""Recipes: the labs, the paper, and what works best here, as parts that can be changed.

    recipe = recipes.get("lab64-frontend", width=0.25)
    trainer = recipe.trainer()
    trainer.fit(recipe.images(mnist), epochs=recipe.epochs, batch_size=recipe.batch_size)

A recipe is one function that returns a `Recipe`, made known by `register`.
"""

from infogan_lib.recipes import course28, course64, mnist28, sprites
from infogan_lib.recipes.all_digits import all_digits
from infogan_lib.recipes.recipe import Recipe, available, get, register
from infogan_lib.recipes.runs import RunError, load_run

__all__ = [
    "Recipe",
    "RunError",
    "all_digits",
    "available",
    "course28",
    "course64",
    "get",
    "load_run",
    "mnist28",
    "register",
    "sprites",
]
