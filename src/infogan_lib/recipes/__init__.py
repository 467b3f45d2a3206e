"""Recipes: the labs, the paper, and what works best here, as parts that can be changed.

    recipe = recipes.get("lab64-frontend", width=0.25)
    trainer = recipe.trainer()
    trainer.fit(recipe.images(mnist), epochs=recipe.epochs, batch_size=recipe.batch_size)
    recipes.save_run("runs/mine", recipe, trainer.model)  # and recipes.load_run("runs/mine")

A recipe is a function `width -> Recipe`; `register` gives it a name.
"""

from infogan_lib.recipes import labs, mnist28, sprites  # noqa: F401 - they register their recipes
from infogan_lib.recipes.all_digits import all_digits
from infogan_lib.recipes.architectures import dcgan_pair
from infogan_lib.recipes.recipe import Recipe, available, get, register, resize_images
from infogan_lib.recipes.runs import RunError, load_run, save_run

__all__ = [
    "Recipe",
    "RunError",
    "all_digits",
    "available",
    "dcgan_pair",
    "get",
    "load_run",
    "register",
    "resize_images",
    "save_run",
]
