"""Values are named by hash: who asked when decides who has which piece."""

from polos.worker.askers import Askers


def test_who_asks_while_a_value_is_under_way_has_its_own_answer() -> None:
    askers = Askers()
    askers.fetch("h", "first")
    assert askers.piece("h", is_first=True, is_last=False) == ["first"]
    askers.fetch("h", "second")
    assert askers.piece("h", is_first=False, is_last=True) == ["first"]
    assert askers.piece("h", is_first=True, is_last=True) == ["second"]
    assert askers.piece("h", is_first=True, is_last=True) == []


def test_who_asked_before_the_first_piece_shares_the_answer() -> None:
    askers = Askers()
    askers.fetch("h", "first")
    askers.fetch("h", "second")
    assert askers.piece("h", is_first=True, is_last=True) == ["first", "second"]


def test_a_value_that_is_kept_leaves_those_who_fetch_it_waiting() -> None:
    askers = Askers()
    askers.fetch("h", "first")
    askers.store("h", "second")
    assert askers.kept("h") == ["second"]
    assert askers.piece("h", is_first=True, is_last=True) == ["first"]
