import pytest

from demo.training.evaluate import write_card


def test_the_table_goes_between_the_marks_of_the_card(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    for table in ("| a |", "| b |"):
        write_card(card, table)
    assert card.read_text() == "before\n<!-- figures -->\n| b |\n<!-- end of figures -->\nafter\n"


def test_a_card_without_marks_stays_as_it_is(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("no place\n")
    with pytest.raises(ValueError, match=r"README\.md has no place for figures"):
        write_card(card, "| a |")
    assert card.read_text() == "no place\n"
