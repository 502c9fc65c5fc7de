"""Association of recorded detections: no video and no Triton; the same tracking and identity as the live pipeline."""
