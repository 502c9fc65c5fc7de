"""``python -m export``: from weights to a folder that Triton serves, and to a server that answers as they do.

PyTorch takes seconds to import, so only the commands that need it do.
"""

from __future__ import annotations

import argparse
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeAlias

from export.config import ConfigError, Overrides, VerifyConfig, load_config, rising
from export.plans import TIMING_CACHE, WORKSPACE_MIB, PlanJob, check_repository, make_plan, this_machine
from export.precision import Precision
from export.production import export_all
from export.repository import read_model
from export.rollout import roll_back, write_repository
from export.served import Server
from export.serving import DETECTOR, REID, Target, batch_profiles, default_serving, write_committed_sets
from export.tensorrt_package import open_package
from export.trtexec import TrtexecBuilder, command_line


def main() -> None:
    """Parses the command line and runs one command; a misfit ends it with a one-line error."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it tells what of a graph it leaves as it is
    parser = _parser()
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        parser.exit(1, f"export: {error}\n")


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(required=True)
    everything = commands.add_parser("all", help="everything that a YAML file asks for; what is up to date stays")
    everything.add_argument("config", type=Path, help="see export/config.py")
    everything.add_argument("--repository", type=Path, help="default: what the file says")
    everything.add_argument("--work", type=Path, help="default: what the file says")
    everything.add_argument("--triton", metavar="HOST:PORT", help="default: what the file says")
    everything.set_defaults(run=_all)

    _add_onnx_commands(commands)
    _add_plan_commands(commands)
    _add_repository_commands(commands)
    return parser


def _add_onnx_commands(commands: Commands) -> None:
    detector = commands.add_parser("detector", help="a Faster R-CNN as ONNX")
    detector.add_argument("--architecture", required=True, help="see export/architectures.py")
    detector.add_argument("--weights", required=True, help="torchvision's name (COCO_V1), checkpoint or safetensors")
    detector.add_argument("--height", type=int, default=384)
    detector.add_argument("--width", type=int, default=672)
    _add_precision(detector)
    detector.add_argument("--out", type=Path, help="default: the architecture's name with .onnx, in this folder")
    detector.set_defaults(run=_detector)

    reid = commands.add_parser("reid", help="a Re-ID network as ONNX")
    reid.add_argument("--checkpoint", "--weights", type=Path, required=True, help="PyTorch checkpoint or safetensors")
    reid.add_argument("--architecture", help="default: what the checkpoint's names say")
    reid.add_argument("--neck", choices=("after", "before"), default="after", help="CLIP-ReID: side of the neck")
    reid.add_argument("--camera", type=int, help="CLIP-ReID: training camera of the side information; default: mean")
    _add_precision(reid)
    reid.add_argument("--out", type=Path, help="default: the checkpoint's name with .onnx, in this folder")
    reid.set_defaults(run=_reid)

    int8 = commands.add_parser("quantise", help="a model in int8, its scales from your own video")
    int8.add_argument("model", type=Path, help="an ONNX file that `reid` or `detector` wrote in fp32")
    int8.add_argument("--video", type=Path, nargs="+", required=True)
    int8.add_argument("--detector", type=Path, help="for Re-ID: an ONNX file that `detector` wrote, finds the crops")
    int8.add_argument("--crops", type=int, default=256, help="for Re-ID")
    int8.add_argument("--frames", type=int, default=64, help="for a detector")
    int8.add_argument("--out", type=Path, help="default: MODEL with .int8.onnx")
    int8.set_defaults(run=_quantise)


def _add_plan_commands(commands: Commands) -> None:
    package = commands.add_parser("tensorrt", help="a TensorRT plan from an ONNX file, by the package tensorrt")
    _add_plan_arguments(package)
    package.set_defaults(run=_tensorrt)

    trtexec = commands.add_parser("trtexec", help="the same by the program of Triton's container")
    _add_plan_arguments(trtexec)
    trtexec.add_argument("--print", action="store_true", help="show the command line and do not run it")
    trtexec.set_defaults(run=_trtexec)

    check = commands.add_parser("check", help="whether this machine can load the plans of a repository")
    check.add_argument("--repository", type=Path, required=True)
    check.set_defaults(run=_check)


def _add_repository_commands(commands: Commands) -> None:
    repository = commands.add_parser("repository", help="Triton's model repository from two ONNX files")
    repository.add_argument("--target", type=Target, choices=[Target.CPU, Target.ONNXRUNTIME_CUDA], required=True)
    repository.add_argument("--detector", type=Path, required=True)
    repository.add_argument("--reid", type=Path, required=True)
    repository.add_argument("--out", type=Path, required=True)
    repository.add_argument("--triton", metavar="HOST:PORT", help="a running server of --out that loads them")
    repository.set_defaults(run=_repository)

    rollback = commands.add_parser("rollback", help="back to the version before the newest one")
    rollback.add_argument("--repository", type=Path, required=True)
    rollback.add_argument("--model", choices=(DETECTOR, REID), required=True)
    rollback.add_argument("--triton", metavar="HOST:PORT", help="a running server that goes back too")
    rollback.set_defaults(run=_rollback)

    parity = commands.add_parser("verify", help="a running server's answers against eager PyTorch, on pictures")
    parity.add_argument("config", type=Path, help="the YAML file that it was exported with; see export/config.py")
    parity.add_argument("--triton", metavar="HOST:PORT", help="default: what the file says")
    parity.add_argument("--images", type=Path, help="a folder of pictures with people; default: what the file says")
    parity.add_argument("--limit", type=int, help="so many pictures at most")
    parity.set_defaults(run=_verify)

    configs = commands.add_parser("configs", help="the configurations committed in model_repository/")
    configs.add_argument("--out", type=Path, default=Path("model_repository"))
    configs.set_defaults(run=lambda arguments: write_committed_sets(arguments.out))


def _add_precision(parser: argparse.ArgumentParser) -> None:
    choices = [Precision.FP32, Precision.FP16]
    parser.add_argument("--precision", type=Precision, choices=choices, default=Precision.FP32)


def _add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, nargs="+", help="a profile for each; default: those of the model")
    parser.add_argument("--workspace-mib", type=int, default=WORKSPACE_MIB)


def _all(arguments: argparse.Namespace) -> None:
    overrides = Overrides(arguments.repository, arguments.work, arguments.triton)
    export_all(load_config(arguments.config, overrides), _say)


def _detector(arguments: argparse.Namespace) -> None:
    from export.onnx_models import export_detector_file

    size = {"height": arguments.height, "width": arguments.width}
    out = arguments.out or Path(f"{arguments.architecture}.onnx")
    source = export_detector_file(arguments.architecture, arguments.weights, out, **size, precision=arguments.precision)
    print(f"{out}: {source.model_id}")


def _reid(arguments: argparse.Namespace) -> None:
    from export.clip_reid import Neck
    from export.embedders import EmbedderOptions
    from export.onnx_models import export_reid_file

    out = arguments.out or Path(f"{arguments.checkpoint.stem}.onnx")
    options = EmbedderOptions(Neck(arguments.neck), arguments.camera)
    source = export_reid_file(arguments.architecture, arguments.checkpoint, out, options, arguments.precision)
    print(f"{out}: {source.model_id}")


def _quantise(arguments: argparse.Namespace) -> None:
    from export.calibration import crops_from_videos
    from export.quantise import check_quantisable, input_of, quantise
    from export.quantise_detector import quantise_detector

    out = arguments.out or arguments.model.with_suffix(".int8.onnx")
    if input_of(arguments.model) == "images":
        print(f"{out}: {quantise_detector(arguments.model, arguments.video, arguments.frames, out)}")
        return
    check_quantisable(arguments.model)
    if arguments.detector is None:
        raise ConfigError(f"{arguments.model}: a Re-ID model needs --detector, which finds the crops in the video")
    crops = crops_from_videos(arguments.video, arguments.detector, arguments.crops)
    print(f"{out}: {quantise(arguments.model, crops, out)}")


def _plan_job(arguments: argparse.Namespace) -> PlanJob:
    spec = read_model(arguments.onnx)
    batches = rising(tuple(arguments.batches or default_serving(spec.name, Target.TENSORRT).batches))
    return PlanJob(arguments.onnx, spec, batch_profiles(batches), arguments.workspace_mib)


def _tensorrt(arguments: argparse.Namespace) -> None:
    make_plan(_plan_job(arguments), open_package(), arguments.out, _say)


def _trtexec(arguments: argparse.Namespace) -> None:
    job = _plan_job(arguments)
    if arguments.print:
        print(command_line(job, arguments.out, arguments.out.with_name(TIMING_CACHE)))
    else:
        make_plan(job, TrtexecBuilder(), arguments.out, _say)


def _check(arguments: argparse.Namespace) -> None:
    for sentence in check_repository(arguments.repository, lambda: this_machine(TrtexecBuilder())):
        print(sentence)


def _repository(arguments: argparse.Namespace) -> None:
    with _server(arguments) as server:
        placed = write_repository(
            arguments.target, arguments.out, detector=arguments.detector, reid=arguments.reid, server=server
        )
    for model in placed:
        print(f"{model.name}: version {model.version}{'' if model.is_new else ', which it was already'}")


def _rollback(arguments: argparse.Namespace) -> None:
    with _server(arguments) as server:
        version = roll_back(arguments.repository, arguments.model, server)
    print(f"{arguments.model}: back to version {version}")


def _verify(arguments: argparse.Namespace) -> None:
    from export.verify import verify_served

    config = load_config(arguments.config, Overrides(triton=arguments.triton))
    chosen = config.verify.model_dump() if config.verify else {}
    chosen |= {name: getattr(arguments, name) for name in ("images", "limit") if getattr(arguments, name) is not None}
    if config.triton is None or "images" not in chosen:
        raise ConfigError(f"{arguments.config}: needs triton and verify.images, or --triton and --images")
    with Server(config.triton) as server:
        verify_served(config, server, VerifyConfig.model_validate(chosen), _say)


def _say(line: str) -> None:
    print(line, flush=True)


def _server(arguments: argparse.Namespace) -> AbstractContextManager[Server | None]:
    return Server(arguments.triton) if arguments.triton else nullcontext()


if __name__ == "__main__":
    main()
