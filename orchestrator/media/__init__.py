"""Sub-videos: listed, fetched from S3 or a folder, verified, cached and evicted; grouped into batches."""

from orchestrator.media.batches import Batch, batches_before, plan_batches
from orchestrator.media.cache import VideoCache
from orchestrator.media.folder import FolderVideoSource
from orchestrator.media.opening import open_video_source
from orchestrator.media.s3 import S3VideoSource
from orchestrator.media.source import SubVideo, VideoSource

__all__ = [
    "Batch",
    "FolderVideoSource",
    "S3VideoSource",
    "SubVideo",
    "VideoCache",
    "VideoSource",
    "batches_before",
    "open_video_source",
    "plan_batches",
]
