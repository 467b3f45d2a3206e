"""``python -m infogan_lib``: the command `infogan`."""

from infogan_lib.commands import main

if __name__ == "__main__":
    main()
