"""The counts in docs/checkpoints.md are those that the programs of this folder have found."""

import json

from count_all import COUNTS, PAGE, PROGRAMS, block_of, to_markdown, with_block


def counts():
    return json.loads(COUNTS.read_text())


def test_the_page_says_what_was_counted():
    assert block_of(PAGE.read_text()) == to_markdown(counts())


def test_every_program_has_a_count():
    assert list(counts()["programs"]) == [program.file for program in PROGRAMS]
    assert all((PAGE.parents[1] / "tests" / "stress" / program.file).exists() for program in PROGRAMS)


def test_new_counts_take_the_place_of_the_old_ones():
    changed = counts()
    changed["programs"][PROGRAMS[0].file] = [1_234_567, 3]
    page = with_block(PAGE.read_text(), to_markdown(changed))
    assert "| 1,234,567 | " in block_of(page)
    assert with_block(page, to_markdown(counts())) == PAGE.read_text()
