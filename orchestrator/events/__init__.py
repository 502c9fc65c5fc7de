"""What is said to clients: the messages of the wire contract, and the log in Redis that keeps them for replay."""

from orchestrator.events.log import EventLog
from orchestrator.events.messages import (
    BatchPayload,
    BatchProcessingComplete,
    CameraPayload,
    Correction,
    CorrectionsPayload,
    FocusChanged,
    FocusPayload,
    IdentityCorrected,
    MediaAvailable,
    MediaPayload,
    MediaUrl,
    Message,
    StatusPayload,
    StatusUpdate,
    TrackingPayload,
    TrackingUpdate,
    TrackPayload,
    track_payloads,
)
from orchestrator.events.signals import Doorbell

__all__ = [
    "BatchPayload",
    "BatchProcessingComplete",
    "CameraPayload",
    "Correction",
    "CorrectionsPayload",
    "Doorbell",
    "EventLog",
    "FocusChanged",
    "FocusPayload",
    "IdentityCorrected",
    "MediaAvailable",
    "MediaPayload",
    "MediaUrl",
    "Message",
    "StatusPayload",
    "StatusUpdate",
    "TrackPayload",
    "TrackingPayload",
    "TrackingUpdate",
    "track_payloads",
]
