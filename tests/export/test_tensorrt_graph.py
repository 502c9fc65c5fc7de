"""The walk itself: it finds what it is there to find."""

import pytest
from onnx import ModelProto, TensorProto, helper

from tests.export.tensorrt_graph import misfits


def model(*nodes: tuple[str, list[str], list[str]]) -> ModelProto:
    """A graph over ``boxes`` [batch, 8, 4] and ``scores`` [batch, 1, 8]; its last output is the graph's."""
    made = [helper.make_node(kind, inputs, outputs, name=outputs[0]) for kind, inputs, outputs in nodes]
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", 8, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1, 8]),
    ]
    outputs = [helper.make_empty_tensor_value_info(made[-1].output[0])]
    constants = [
        helper.make_tensor("most", TensorProto.INT64, [1], [3]),
        helper.make_tensor("column", TensorProto.INT64, [], [2]),
    ]
    graph = helper.make_graph(made, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


SURVIVORS = ("NonMaxSuppression", ["boxes", "scores", "most"], ["survivors"])


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([("NonZero", ["scores"], ["places"])], "places: NonZero is not parsed"),
        ([("Unique", ["scores"], ["some"])], "some: Unique is not parsed"),
        ([SURVIVORS, ("Shape", ["survivors"], ["count"])], "count: Shape has as many rows as there are survivors"),
        (
            [SURVIVORS, ("Gather", ["survivors", "column"], ["rows"]), ("Abs", ["rows"], ["all"])],
            "all: Abs is not parsed",
        ),
    ],
)
def test_what_does_not_fit_is_found(nodes: list[tuple[str, list[str], list[str]]], sentence: str) -> None:
    assert sentence in misfits(model(*nodes))


def test_what_fits_is_passed_over() -> None:
    assert misfits(model(("Relu", ["boxes"], ["positive"]), ("Sigmoid", ["positive"], ["all"]))) == []
