from itertools import combinations

import numpy as np

from demo.site.scene import Recording
from demo.site.scenes import make_scene


def test_nobody_in_the_yard_is_dressed_like_another():
    people = make_scene("yard", 1, Recording(people=8)).people
    clothes = [np.array((*each.wardrobe.top, *each.wardrobe.bottom)) for each in people]
    assert min(np.linalg.norm(one - other) for one, other in combinations(clothes, 2)) > 60
