"""Reading a site file so that every fault can name its line."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import yaml
from numpy.lib.npyio import NpzFile
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import SiteError

_MATRIX_KEYS = {"file", "array"}
Location = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and at which field."""

    loc: Location
    message: str


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A parsed YAML mapping that still knows where its parts stand."""

    path: Path
    root: yaml.Node
    data: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parses the file.

        Raises:
            SiteError: not readable, not YAML, a key given twice, or not a mapping.
        """
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SiteError(f"{path}: cannot be read: {error}") from error
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            data = loader.construct_document(root) if root is not None else None
        except yaml.YAMLError as error:
            raise SiteError(_yaml_message(path, error)) from error
        if root is None or not isinstance(data, dict):
            raise SiteError(f"{path}:1: a mapping with the key 'environments' is expected")
        file = cls(path, root, data)
        file.refuse(list(_repeated_keys(root, ())))
        return file

    def inject(self, loc: Location, mapping: dict[str, Any], values: dict[str, Any]) -> None:
        """Adds what the models want and the file says by its structure.

        Raises:
            SiteError: the file gives one of the keys itself.
        """
        self.refuse([Fault((*loc, key), "unknown key") for key in values if key in mapping])
        mapping.update(values)

    def read_points(self, loc: Location, source: dict[str, Any]) -> dict[str, Any]:
        """Point pairs out of the ``.npz`` that a homography names, relative to the site file.

        Raises:
            SiteError: the file is missing or does not hold ``image_points`` and ``map_points``, each [N, 2].
        """
        self.refuse([Fault((*loc, key), "not allowed beside 'file'") for key in source if key != "file"])
        at = (*loc, "file")
        if not isinstance(source["file"], str):
            self.refuse([Fault(at, "the path of an .npz file is expected")])
        target = self.path.parent / source["file"]
        try:
            with np.load(target, allow_pickle=False) as arrays:
                points = {name: arrays[name] for name in ("image_points", "map_points")}
        except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
            self.refuse([Fault(at, f"{target} is not an .npz with image_points and map_points: {error}")])
        wrong = {name: array.shape for name, array in points.items() if array.ndim != 2 or array.shape[1] != 2}
        self.refuse([Fault(at, f"{name} in {target} has shape {shape}, not [N, 2]") for name, shape in wrong.items()])
        return {name: array.astype(np.float64).tolist() for name, array in points.items()}

    def read_matrix(self, loc: Location, source: dict[str, Any]) -> list[list[float]]:
        """A matrix out of the ``.npy``, or the named array of the ``.npz``, relative to the site file.

        Raises:
            SiteError: the file is missing or holds no such array of two dimensions.
        """
        self.refuse([Fault((*loc, key), "unknown key, known are file, array") for key in source.keys() - _MATRIX_KEYS])
        if not isinstance(source.get("file"), str):
            self.refuse([Fault(loc, "the path of an .npy or .npz file is expected as 'file'")])
        target = self.path.parent / source["file"]
        try:
            loaded = np.load(target, allow_pickle=False)
            if isinstance(loaded, NpzFile):
                with loaded:
                    loaded = loaded[source["array"]]
            matrix = np.asarray(loaded, np.float64)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            self.refuse([Fault((*loc, "file"), f"{target} does not hold the array {source.get('array')!r}: {error}")])
        if matrix.ndim != 2:
            self.refuse([Fault((*loc, "file"), f"the array in {target} has shape {matrix.shape}, not [3, 3 or 4]")])
        rows: list[list[float]] = matrix.tolist()
        return rows

    def validate(self, model: type[ModelT]) -> ModelT:
        """The data as a model.

        Raises:
            SiteError: the data does not fit the model.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            faults = [Fault(item["loc"], self._message(item, model)) for item in error.errors()]
        self.refuse(faults)
        raise AssertionError("a validation error without faults")

    def refuse(self, faults: Sequence[Fault]) -> None:
        """Raises a ``SiteError`` that lists the faults, line by line; nothing where there are none."""
        if faults:
            lines = [f"{self.path}:{self._line(fault.loc)}: {_field(fault.loc)}: {fault.message}" for fault in faults]
            raise SiteError("\n".join(lines))

    def _line(self, loc: Location) -> int:
        """The line, from 1, of the deepest part of ``loc`` that the file has."""
        node, line = self.root, self.root.start_mark.line
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line
        return line + 1

    @staticmethod
    def _message(item: ErrorDetails, model: type[BaseModel]) -> str:
        if item["type"] == "extra_forbidden":
            return _unknown_key(str(item["loc"][-1]), _keys_at(model, item["loc"][:-1]))
        return item["msg"].removeprefix("Value error, ")


def _unknown_key(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"unknown key, did you mean {close[0]!r}?" if close else f"unknown key, known are {', '.join(known)}"


def _keys_at(model: type[BaseModel], loc: Location) -> list[str]:
    """The keys that a user may write in the mapping at ``loc``."""
    current: type[BaseModel] = model
    for part in loc:
        if part in current.model_fields:
            inner = _inner_model(current.model_fields[str(part)].annotation)
            current = inner or current
    return [name for name in current.model_fields if name not in {"id", "path"}]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``dict[str, M]``, ``tuple[M, ...]``, ``M | None`` or ``M`` itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _inner_model(part))), None)


def _repeated_keys(node: yaml.Node, loc: Location) -> Iterator[Fault]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield Fault((*loc, key.value), f"given twice, again in line {key.start_mark.line + 1}")
            seen.add(key.value)
            yield from _repeated_keys(value, (*loc, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for row, value in enumerate(node.value):
            yield from _repeated_keys(value, (*loc, row))


def _field(loc: Location) -> str:
    return ".".join(str(part) for part in loc) or "the file"


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1}: {problem}" if mark is not None else f"{path}: {problem}"
