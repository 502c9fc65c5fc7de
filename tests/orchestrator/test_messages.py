from orchestrator.correction import NamedStretch
from orchestrator.messages import corrections_of


def test_clients_are_told_of_every_stretch_that_they_may_know_under_another_name():
    stretches = [
        NamedStretch("c1", 1, 0, 9, "t-1", "t-1"),
        NamedStretch("c1", 1, 10, 20, "t-1", "t-2"),
        NamedStretch("c1", 2, 0, 5, "t-2", None),
        NamedStretch("c1", 3, 0, 5, None, None),
        NamedStretch("c2", 3, 0, 5, "t-3", "t-3"),
        NamedStretch("c2", 4, 0, 5, None, None),
    ]
    told = corrections_of(stretches, renamed={("c2", 3), ("c2", 4)})
    assert [(item.camera_id, item.track_id, item.from_frame, item.to_global_id) for item in told] == [
        ("c1", 1, 10, "t-2"),
        ("c1", 2, 0, None),
        ("c2", 3, 0, "t-3"),
        ("c2", 4, 0, None),
    ]
