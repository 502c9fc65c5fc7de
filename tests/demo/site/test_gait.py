import numpy as np
import pytest

from demo.site.gait import ArmPose, Build, Builds, Motion, pose

STEPS = 240
RIGHT, LEFT = 0, 1
FORWARD, UP = 1, 2


def double_step(build, speed):
    """Joints through one double step on the spot, and how far the body gets meanwhile at each moment, metres."""
    phase = np.linspace(-np.pi, np.pi, STEPS, endpoint=False, dtype=np.float32)
    still = np.zeros(STEPS, np.float32)
    joints = pose(
        Builds.stack([build] * STEPS), Motion(np.zeros((STEPS, 2), np.float32), still, phase, still + speed, still)
    )
    length = build.stride * build.height / 1.72 * (0.75 + 0.5 * speed)  # as ``walk`` advances the phase
    return joints, length * phase / (2 * np.pi), length


@pytest.mark.parametrize(("height", "stride", "speed"), [(1.55, 0.92, 1.0), (1.72, 1.0, 1.3), (1.9, 1.1, 1.6)])
def test_the_foot_that_stands_does_not_slide(height, stride, speed):
    joints, walked, length = double_step(Build(height=height, stride=stride), speed)
    ankle = joints.ankles[:, LEFT]
    phase = np.linspace(-np.pi, np.pi, STEPS, endpoint=False)
    stands = (phase > -np.pi / 2 + 0.3) & (phase < np.pi / 2 - 0.3)  # left foot from in front of the body to behind it
    on_the_ground = ankle[stands, FORWARD] + walked[stands]
    body = np.ptp(walked[stands])
    assert np.ptp(on_the_ground) < 0.3 * body, "slides along with the body"
    assert abs(on_the_ground[-1] - on_the_ground[0]) < 0.3 * body
    assert np.ptp(ankle[:, FORWARD]) < 0.8 * length
    assert np.minimum(joints.ankles[..., UP], joints.toes[..., UP]).min() > 0


def test_arms_swing_against_the_legs():
    joints, _, _ = double_step(Build(), 1.3)
    wrists, ankles = joints.wrists[..., FORWARD], joints.ankles[..., FORWARD]
    assert np.corrcoef(ankles[:, RIGHT], ankles[:, LEFT])[0, 1] < -0.9
    assert np.corrcoef(wrists[:, RIGHT], wrists[:, LEFT])[0, 1] < -0.9
    assert np.corrcoef(wrists[:, RIGHT], ankles[:, RIGHT])[0, 1] < -0.8
    assert np.corrcoef(wrists[:, RIGHT], ankles[:, LEFT])[0, 1] > 0.8
    assert np.ptp(wrists[:, RIGHT]) > 0.25


def test_who_stands_swings_nothing():
    joints, _, _ = double_step(Build(), 0.0)
    for moving in (joints.wrists, joints.ankles, joints.knees):
        assert np.ptp(moving, axis=0).max() < 1e-5


@pytest.mark.parametrize("held", [ArmPose.PHONE, ArmPose.POCKET, ArmPose.CARRY])
def test_an_arm_that_does_something_swings_less_than_the_other(held):
    joints, _, _ = double_step(Build(arms=(held, ArmPose.SWING)), 1.3)
    swung = np.ptp(joints.wrists[..., FORWARD] - joints.shoulders[..., FORWARD], axis=0)
    assert swung[RIGHT] < 0.5 * swung[LEFT]


def test_a_phone_is_held_up_in_front():
    joints, _, _ = double_step(Build(arms=(ArmPose.PHONE, ArmPose.SWING)), 0.0)
    wrist, elbow = joints.wrists[0, RIGHT], joints.elbows[0, RIGHT]
    assert wrist[UP] > elbow[UP]
    assert wrist[FORWARD] > joints.chest[0, FORWARD] + 0.2
