import numpy as np

from demo.site.meeting import NOBODY, Meetings

FREE = np.ones(3, bool)
XY = np.array([(0.0, 0.0), (6.0, 0.0), (30.0, 0.0)])


def agreed() -> Meetings:
    meetings = Meetings(3, np.random.default_rng(1))
    while meetings.arrange(0, FREE, XY) == NOBODY:
        pass
    return meetings


def test_one_who_is_near_and_free_is_asked_and_nobody_meets_two():
    meetings = agreed()
    assert meetings.partner.tolist() == [1, 0, NOBODY]
    assert all(meetings.arrange(person, FREE, np.zeros((3, 2))) == NOBODY for person in (0, 1, 2) for _ in range(99))


def test_who_stands_is_not_asked():
    meetings = Meetings(3, np.random.default_rng(1))
    assert all(meetings.arrange(0, ~FREE, XY) == NOBODY for _ in range(99))


def test_they_talk_once_the_other_comes_to_who_waits():
    meetings, waiting = agreed(), np.array([True, False, False])
    assert not meetings.greet(XY, waiting)
    here = np.array([(0.0, 0.0), (1.2, 0.0), (30.0, 0.0)])
    assert not meetings.greet(here, ~FREE), "neither has arrived"
    ((one, other, seconds),) = meetings.greet(here, waiting)
    assert ({one, other}, seconds > 2) == ({0, 1}, True)
    assert not meetings.greet(here, np.array([True, True, False])), "they talk already"
    assert meetings.approach(here)[:, 0].round(2).tolist() == [0.2, -0.2, 0]
    meetings.part(1)
    assert not meetings.talking.any()
    assert (meetings.partner == NOBODY).all()
