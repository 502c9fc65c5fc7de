"""Pictures of a result: annotated videos, the map, a poster."""
