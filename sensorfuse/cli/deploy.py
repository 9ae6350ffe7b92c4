"""Commands about deployment: compile networks into engines, and look after the cache of engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sensorfuse.cli.app import JsonOption, app, console, find_rig, prepare, write_figures
from sensorfuse.errors import SensorfuseError


@app.command("compile")
def compile_command(
    rig: Annotated[str, typer.Argument(help="rig file, or the name of a shipped rig")] = "synthetic",
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", "-s", help="may be given again; default: the rig's")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="every strategy; those without weights are told")] = False,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="fp32, fp16, bf16 or int8; may be given again")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="onnxruntime, tensorrt_rtx or tensorrt; may be given again")
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option("--compute-capability", help="of the GPU, such as 8.9, or `all`; default: the one here, or all"),
    ] = None,
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="a log: recordings for INT8 and to compare engines by")
    ] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="folder of trained networks")] = None,
    untrained: Annotated[
        Path | None, typer.Option("--untrained", help="folder for networks with drawn weights, of strategies without")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="engines take 1 to so many at a time", min=1, max=64)] = 4,
    workspace_mb: Annotated[int, typer.Option("--workspace-mb", help="most memory of one layer; 0: any", min=0)] = 0,
    worlds: Annotated[int, typer.Option("--worlds", help="INT8's loss is measured on", min=1)] = 1,
    ticks: Annotated[int, typer.Option("--ticks", help="judged per world", min=1)] = 20,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder for copies and report.md")] = None,
    as_json: JsonOption = None,
    list_cache: Annotated[bool, typer.Option("--list-cache", help="say what is compiled, and end")] = False,
    clear_cache: Annotated[bool, typer.Option("--clear-cache", help="remove all compiled engines, and end")] = False,
    clear_stale: Annotated[
        bool, typer.Option("--clear-stale", help="remove engines that nothing here can use any more, and end")
    ] = False,
) -> None:
    """Compile a rig's networks for a target, with what each precision loses. No GPU is needed.

    Example: sensorfuse compile my_rig.yaml --precision fp16 --precision int8 --target tensorrt_rtx
    --compute-capability 8.9 --calibrate drive.mcap --out out/engines
    """
    if list_cache or clear_cache or clear_stale:
        _look_after_cache(clear_cache, clear_stale, as_json)
        return
    try:
        from sensorfuse.deploy.compile import CompileConfig, compile_rig
        from sensorfuse.deploy.networks import learned_strategies
        from sensorfuse.deploy.report import figures, markdown, print_compiled
    except ImportError as error:
        raise SensorfuseError(f"compiling needs `pip install 'sensorfuse[rtx]'` or `[train]` ({error})") from None
    from sensorfuse.engine.precision import PRECISIONS
    from sensorfuse.engine.tensorrt_build import BuildConfig
    from sensorfuse.fusion.model_files import weights_of

    model = find_rig(rig, None)
    chosen = _listed("--precision", precision or ["fp32"], PRECISIONS)
    targets = _listed("--target", target or ["onnxruntime"], ("onnxruntime", "tensorrt_rtx", "tensorrt"))
    capabilities = _capabilities(compute_capability, targets)
    config = CompileConfig(
        strategies=tuple(learned_strategies() if every else strategy or [model.fusion.strategy]),
        weights=weights or weights_of(model),
        precisions=chosen,
        targets=targets,
        capabilities=capabilities,
        build=BuildConfig({"batch": (1, 1, batch)}, workspace_mb),
        log=calibrate,
        untrained=None if untrained is None else prepare(untrained),
        score_worlds=worlds,
        score_ticks=ticks,
        out=None if out is None else prepare(out),
    )
    progress = Console(stderr=True)
    compiled = compile_rig(model, config, lambda line: progress.print(line, highlight=False, soft_wrap=True))
    print_compiled(compiled, console)
    write_figures(figures(compiled), as_json)
    if out is not None:
        (out / "report.md").write_text(markdown(compiled), encoding="utf-8")
    if not compiled.rows:
        raise SensorfuseError("nothing to compile: no strategy that was asked for has networks")
    if not compiled.ok:
        raise typer.Exit(1)


def _listed(option: str, given: list[str], known: tuple[str, ...]) -> Any:
    for one in given:
        if one not in known:
            raise SensorfuseError(f"{option} {one}: expected one of {', '.join(known)}")
    return tuple(dict.fromkeys(given))


def _capabilities(given: list[str] | None, targets: tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        return ()
    if "tensorrt_rtx" not in targets:
        raise SensorfuseError(
            "--compute-capability is for `--target tensorrt_rtx`, which builds for GPUs that aren't here"
        )
    if given == ["all"]:
        from sensorfuse.engine.tensorrt_build import compute_capabilities, load_api

        return tuple(compute_capabilities(load_api("tensorrt_rtx")))
    return tuple(dict.fromkeys(given))


def _look_after_cache(clear: bool, stale: bool, as_json: Path | None) -> None:
    from sensorfuse.engine.cache import EngineCache
    from sensorfuse.engine.open import available_backends

    cache = EngineCache()
    if clear or stale:
        versions = {str(s.backend): s.version for s in available_backends() if s.version}
        freed = cache.clear(cache.stale(versions) if stale and not clear else None)
        console.print(f"{cache.folder}: freed {freed / 1e6:.1f} MB", highlight=False, soft_wrap=True)
    entries = cache.entries()
    for entry in entries:
        told = (
            f"{entry.label}  {entry.key.backend} {entry.key.version}  {entry.size / 1e6:.1f} MB  {entry.path.stem[:12]}"
        )
        console.print(told, highlight=False, soft_wrap=True)
    if not entries and not (clear or stale):
        console.print(f"{cache.folder}: no compiled engines", highlight=False, soft_wrap=True)
    write_figures(
        {
            "folder": str(cache.folder),
            "engines": [{"label": e.label, "size": e.size, "key": e.path.stem} for e in entries],
        },
        as_json,
    )
