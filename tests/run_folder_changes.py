"""What may be done to a run folder while a trainer holds it; each returns the folder by which a second one enters."""


def lock_removed(folder):
    (folder / "lock").unlink()
    return folder


def lock_replaced(folder):
    (folder / "other").write_text("x")
    (folder / "other").rename(folder / "lock")
    return folder


def checkpoints_linked(folder):
    other = folder.with_name("other")
    other.mkdir()
    (other / "checkpoints").symlink_to(folder / "checkpoints")
    return other
