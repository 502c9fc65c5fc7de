"""One tree of errors. Each says what and where in one sentence, and whether trying again can help."""

from __future__ import annotations

from typing import ClassVar


class SpotOnError(Exception):
    """Anything that SpotOn raises on purpose; ``str(error)`` is fit to be shown to a user."""

    retryable: ClassVar[bool] = False
    """True where the same call may succeed later (a server that is down), False where it cannot (a broken file)."""


class SettingsError(SpotOnError):
    """A setting is missing, malformed, or unsafe beside another."""


class SiteError(SpotOnError):
    """The site file, or a homography that it names, cannot be used; names file, line and camera."""


class DetectionFileError(SpotOnError):
    """Recorded detections, or the embeddings beside them, cannot be used; names file and line."""


class VideoError(SpotOnError):
    """A sub-video cannot be read: not a video, truncated, empty, or of an unknown codec; names the file."""

    def __init__(self, file: object, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.problem = problem


class StorageError(SpotOnError):
    """The object store cannot be reached or answered with a fault."""

    retryable = True


class StorageAccessError(StorageError):
    """The object store refuses: wrong credentials, no such bucket, no such object."""

    retryable = False


class NoVideoError(StorageAccessError):
    """No camera of the task has any sub-video under its prefix."""


class InferenceError(SpotOnError):
    """Triton cannot be reached, timed out, or failed a request."""

    retryable = True


class ModelReplacedError(InferenceError):
    """Triton answers with another version of a model than before; what was made with the former one is kept apart."""


class ModelContractError(SpotOnError):
    """A model on the server does not have the tensors that the contract states; names model and tensor."""


class HistoryError(SpotOnError):
    """PostgreSQL cannot be reached or refused a statement."""

    retryable = True


class EventLogError(SpotOnError):
    """Redis cannot be reached or refused a command."""

    retryable = True


class CheckpointError(SpotOnError):
    """A task cannot go on from its checkpoint: cameras or code are others than those that it was made with."""


class UnknownTaskError(SpotOnError):
    """No task has this id."""


class UnknownEnvironmentError(SpotOnError):
    """The site file has no such environment."""


class UnknownCameraError(SpotOnError):
    """The environment has no such camera."""


class IllegalTransitionError(SpotOnError):
    """The task's state forbids the action; names both."""


class TooManyTasksError(SpotOnError):
    """The limit of tasks that may wait or run at once is reached."""

    retryable = True


class TaskCancelledError(SpotOnError):
    """The task was cancelled while it ran; not a failure."""
