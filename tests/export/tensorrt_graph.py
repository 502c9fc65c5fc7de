"""What of a graph TensorRT would refuse or could not plan for: walked node by node.

The operators are those of the support matrix of onnx-tensorrt (docs/operators.md) for which 10.12 to 11 need no plugin
but the RoiAlign that they ship, without control flow and without those whose result has as many rows as the data say.
"""

import onnx

PARSED = frozenset(
    [
        "Add",
        "And",
        "AveragePool",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gemm",
        "GlobalAveragePool",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "NonMaxSuppression",
        "Not",
        "Or",
        "Pad",
        "QuantizeLinear",
        "Range",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "RoiAlign",
        "ScatterND",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
SURVIVORS = ("NonMaxSuppression", "Gather", "Cast")
"""What may have as many rows as there are survivors; ``ScatterND`` takes them and has a fixed shape."""


def misfits(model: onnx.ModelProto) -> list[str]:
    """A sentence for everything that does not fit; none for a graph that does."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape for value in [*graph.value_info, *graph.output]}
    found, survivors = [], set()
    for node in graph.node:
        if node.domain or node.op_type not in PARSED:
            found.append(f"{node.name}: {node.op_type} is not parsed")
        of_survivors = node.op_type == "NonMaxSuppression" or bool(survivors & set(node.input))
        if of_survivors and node.op_type in SURVIVORS:
            survivors.update(node.output)
        elif of_survivors and node.op_type != "ScatterND":
            found.append(f"{node.name}: {node.op_type} has as many rows as there are survivors")
        elif not of_survivors or node.op_type == "ScatterND":
            found += [f"{node.name}: {name} has no fixed shape" for name in node.output if not _is_fixed(shapes, name)]
    return found


def computed_in(model: onnx.ModelProto) -> dict[str, set[str]]:
    """Types of the first input of each kind of node: what a strongly typed TensorRT network computes it in."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    found: dict[str, set[str]] = {}
    for node in graph.node:
        if node.input:
            found.setdefault(node.op_type, set()).add(onnx.TensorProto.DataType.Name(types[node.input[0]]))
    return found


def _is_fixed(shapes: dict[str, onnx.TensorShapeProto], name: str) -> bool:
    """All but the first axis, which may follow the batch."""
    return name in shapes and all(axis.HasField("dim_value") for axis in shapes[name].dim[1:])
