"""Image foot point <-> map metres.

A homography H maps a pixel (u, v) to the map: (X, Y, w) ~ H (u, v, 1). It holds for points on the ground plane in front
of the camera only: where w has another sign than at the calibrated points, the pixel lies above the horizon and has no
place on the map (Hartley & Zisserman, Multiple View Geometry, 2nd ed., sections 4.1 and 21.1).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import ArrayLike

from orchestrator.errors import SiteError
from orchestrator.site import MIN_POINTS, Camera, Environment, collinear
from orchestrator.values import Bool, Float64

logger = logging.getLogger(__name__)

RANSAC_THRESHOLD = 0.02
"""A pair is an outlier where it misses by more than this share of the diagonal of the image points' bounding box: about
25 px in a 1280x720 frame. Measured in the image, where hand-set points err alike near and far; metres would not."""
RANSAC_CONFIDENCE = 0.999
RANSAC_ITERATIONS = 5000
MIN_CONDITION = 1e-7
"""Smallest over largest singular value, in normalised coordinates, below which a matrix counts as rank-deficient."""
ASSUMED_RESOLUTION = (1920, 1080)
"""Of a calibrated camera whose resolution nobody gives: the ground is taken to be in the middle of its lower edge."""
HORIZON_WEIGHT = 1e-3
"""w, relative to its mean over the calibrated points, below which a point counts as beyond the horizon: there a pixel
is worth kilometres."""


@dataclass(frozen=True, slots=True, eq=False)
class Homography:
    """The map of one camera's ground plane. Scaled so that w is 1 on average over the calibrated points."""

    matrix: Float64
    """[3, 3] image px -> map metres."""
    inverse: Float64
    """[3, 3] map metres -> image px."""

    @classmethod
    def fit(cls, image_points: ArrayLike, map_points: ArrayLike) -> Self:
        """The homography that most pairs agree on (RANSAC, then least squares over those that agree).

        Args:
            image_points: [N, 2] px of the source frame, N >= 4.
            map_points: [N, 2] metres.

        Raises:
            SiteError: too few pairs, or pairs that fix no homography: points on a line, three of four on a line, a
                horizon that runs between them.
        """
        image, ground = np.asarray(image_points, np.float64), np.asarray(map_points, np.float64)
        _check_pairs(image, ground)
        image_scale, map_scale = _normalisation(image), _normalisation(ground)
        flat_image, flat_map = _project(image_scale, image)[0], _project(map_scale, ground)[0]
        threshold = RANSAC_THRESHOLD * float(np.linalg.norm(np.ptp(flat_image, axis=0)))
        to_image, mask = cv2.findHomography(
            flat_map, flat_image, cv2.RANSAC, threshold, maxIters=RANSAC_ITERATIONS, confidence=RANSAC_CONFIDENCE
        )
        inliers = mask.ravel().astype(bool) if to_image is not None else np.zeros(len(image), bool)
        if not inliers.any() or _is_singular(to_image) or not _fix_one(flat_map[inliers], flat_image[inliers]):
            raise SiteError("the point pairs fix no homography: too many of them lie on one line")
        matrix: Float64 = _inverse(map_scale) @ _inverse(to_image) @ image_scale
        _warn_of_outliers(inliers)
        return cls(_scaled(matrix, image[inliers]), _scaled(_inverse(matrix), ground[inliers]))

    @classmethod
    def from_matrix(cls, image_to_map: ArrayLike, ground_pixel: ArrayLike) -> Self:
        """The homography of a calibrated camera.

        Args:
            image_to_map: [3, 3] px -> metres, of any scale and sign.
            ground_pixel: [2] px of a point of the ground in front of the camera: says which side of the horizon is
                the ground.

        Raises:
            SiteError: the matrix is singular, or the pixel lies on its horizon.
        """
        matrix = np.asarray(image_to_map, np.float64)
        pixel = np.asarray(ground_pixel, np.float64).reshape(1, 2)
        if _is_singular(_balanced(matrix, pixel)):
            raise SiteError("the calibration maps the image to a line")
        weight = _project(matrix, pixel)[1]
        if not abs(weight[0]) > 0:
            raise SiteError("the middle of the image's lower edge lies on the calibration's horizon")
        scaled: Float64 = matrix / weight[0]
        return cls(scaled, _inverse(scaled))

    def to_map(self, points: ArrayLike) -> Float64:
        """Pixels [N, 2] -> metres [N, 2]; NaN beyond the horizon."""
        return _project_visible(self.matrix, np.asarray(points, np.float64))

    def to_image(self, points: ArrayLike) -> Float64:
        """Metres [N, 2] -> pixels [N, 2]; NaN behind the camera."""
        return _project_visible(self.inverse, np.asarray(points, np.float64))

    def weight(self, points: ArrayLike) -> Float64:
        """W [N] at pixels [N, 2]: 1 / depth up to a factor of the camera; 0 at the horizon, negative above it."""
        return _project(self.matrix, np.asarray(points, np.float64))[1]

    def metres_per_pixel(self, points: ArrayLike) -> Float64:
        """The Jacobian of ``to_map`` [N, 2, 2] at pixels [N, 2]: d(X, Y) / d(u, v); NaN beyond the horizon."""
        pixels = np.asarray(points, np.float64)
        ground, weight = _project(self.matrix, pixels)
        weight = np.where(weight < HORIZON_WEIGHT, np.nan, weight)
        numerator = self.matrix[None, :2, :2] - ground[:, :, None] * self.matrix[None, 2:, :2]
        return np.asarray(numerator / weight[:, None, None])


def foot_points(boxes: ArrayLike) -> Float64:
    """Where people stand: the middle of the lower edge of their boxes [N, 4] xyxy px -> [N, 2] px."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.stack([(corners[:, 0] + corners[:, 2]) / 2, corners[:, 3]], axis=1)


def load_homographies(environment: Environment) -> dict[str, Homography]:
    """The homographies of all cameras that have one, by camera id.

    A placeholder (image points equal to map points) is a warning that names the camera, which is then left out.

    Raises:
        SiteError: a camera's pairs fix no homography; names the camera.
    """
    found = {}
    for camera in environment.cameras.values():
        if camera.homography is None and camera.calibration is None:
            continue
        if camera.homography is not None and camera.homography.is_placeholder:
            logger.warning(
                "camera %s of %s: image points equal map points, a placeholder: no map positions",
                camera.id,
                environment.id,
            )
            continue
        try:
            found[camera.id] = _homography_of(camera)
        except SiteError as error:
            raise SiteError(f"camera {camera.id} of environment {environment.id}: {error}") from error
    return found


def _homography_of(camera: Camera) -> Homography:
    if camera.homography is not None:
        return Homography.fit(camera.homography.image, camera.homography.map)
    assert camera.calibration is not None
    width, height = camera.resolution or ASSUMED_RESOLUTION
    try:
        return Homography.from_matrix(camera.calibration.ground, (width / 2, height - 1))
    except np.linalg.LinAlgError as error:
        raise SiteError("the calibration is a singular matrix") from error


def _check_pairs(image: Float64, ground: Float64) -> None:
    if image.ndim != 2 or image.shape[1] != 2 or image.shape != ground.shape:
        raise SiteError(f"point pairs of shapes {image.shape} and {ground.shape}, not [N, 2] each")
    if len(image) < MIN_POINTS:
        raise SiteError(f"{len(image)} point pairs, at least {MIN_POINTS} are needed")
    for name, points in (("image", image), ("map", ground)):
        if not np.isfinite(points).all():
            raise SiteError(f"{name} points hold a value that is not a finite number")
        if collinear(points):
            raise SiteError(f"the {name} points lie on one line")


def _normalisation(points: Float64) -> Float64:
    """[3, 3] that moves points to mean 0 and mean distance sqrt 2 (Hartley 1997), so that thresholds have no unit."""
    centre = points.mean(axis=0)
    scale = np.sqrt(2) / np.linalg.norm(points - centre, axis=1).mean()
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def _inverse(matrix: ArrayLike) -> Float64:
    return np.asarray(np.linalg.inv(np.asarray(matrix, np.float64)), np.float64)


def _balanced(matrix: Float64, pixel: Float64) -> Float64:
    """[3, 3] with columns in units of ``pixel`` [1, 2] and rows of length 1, so that its condition has no unit."""
    columns = matrix * np.append(np.abs(pixel[0]), 1.0)
    return np.asarray(columns / np.maximum(np.linalg.norm(columns, axis=1, keepdims=True), 1e-300))


def _is_singular(matrix: ArrayLike) -> bool:
    spread = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
    return not np.isfinite(spread).all() or bool(spread[2] <= MIN_CONDITION * spread[0])


def _fix_one(source: Float64, target: Float64) -> bool:
    """Whether normalised pairs [N, 2] leave a single homography.

    True where the rank of their linear system (Hartley & Zisserman, eq. 4.3) is 8; with three of four points on a line
    it is 7.
    """
    ones, zeros = np.ones((len(source), 1)), np.zeros((len(source), 3))
    points = np.hstack([source, ones])
    rows = [np.hstack([points, zeros, -target[:, :1] * points]), np.hstack([zeros, points, -target[:, 1:] * points])]
    spread = np.linalg.svd(np.vstack(rows), compute_uv=False)
    return bool(spread[7] > MIN_CONDITION * spread[0])


def _scaled(matrix: Float64, calibrated: Float64) -> Float64:
    """The matrix times a factor that makes w 1 on average over the calibrated points."""
    weight = _project(matrix, calibrated)[1]
    if not (np.all(weight > 0) or np.all(weight < 0)):
        raise SiteError("the point pairs fix no homography: its horizon runs between the points")
    return np.asarray(matrix / weight.mean())


def _project(matrix: Float64, points: Float64) -> tuple[Float64, Float64]:
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return homogeneous[:, :2] / homogeneous[:, 2:], homogeneous[:, 2]


def _project_visible(matrix: Float64, points: Float64) -> Float64:
    projected, weight = _project(matrix, points.reshape(-1, 2))
    projected[~(weight >= HORIZON_WEIGHT)] = np.nan
    return projected


def _warn_of_outliers(inliers: Bool) -> None:
    if not inliers.all():
        rows = ", ".join(str(row + 1) for row in np.flatnonzero(~inliers))
        logger.warning("point pairs %s do not agree with the others and are left out", rows)
