"""The simulated site: a place, its people and its cameras, rendered with ground truth."""
