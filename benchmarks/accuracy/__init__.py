"""How well people are followed and recognised, beside a plain baseline and the most that these detections allow."""

from benchmarks.accuracy.benchmark import add_arguments, run

__all__ = ["add_arguments", "run"]
