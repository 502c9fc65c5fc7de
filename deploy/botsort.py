"""Builds BoxMOT's C++ BoT-SORT into the Python that runs this.

Needs cmake, a C++ compiler, and the headers of OpenCV and Eigen. BoxMOT would build it at first use, beside its own
package; a container has no compiler then.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from boxmot.native._common import installed_library_candidates, tracker_build_dir
from boxmot.native.trackers.botsort import ensure_botsort_cpp_library

TRACKER = "botsort"


def main() -> None:
    """Builds the library, moves it to where an installed BoxMOT looks first, and clears the build away."""
    built = Path(ensure_botsort_cpp_library())
    place = installed_library_candidates(TRACKER, built.name)[0]
    if built != place:
        shutil.move(built, place)
        shutil.rmtree(tracker_build_dir(TRACKER))
    print(place)


if __name__ == "__main__":
    main()
