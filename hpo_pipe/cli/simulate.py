"""``hpo-pipe simulate``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo_pipe.cli.arguments import Duration, examples
from hpo_pipe.cli.output import console, on_terminal, print_grid, print_json, print_lines, say
from hpo_pipe.count_type import Count, Number

if TYPE_CHECKING:
    from hpo_pipe.simulate.comparison import Comparison, Setting
    from hpo_pipe.simulate.contenders import Contender
    from hpo_pipe.simulate.sources import Source
    from storage_schema.records import Limits, Study

CHART_HEIGHT = 14
MAX_WIDTH = 110


class Budget(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Units of training, or whole trainings: ``4050``, ``50x``."""

    name = "units"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, bool]:
        """Return the number, and whether whole trainings are meant."""
        found = re.fullmatch(r"([1-9][0-9]{0,14})(x?)", str(value))
        if not found:
            self.fail(f"{value!r} is neither a number of units, nor of whole trainings like 50x", param, ctx)
        return int(found[1]), bool(found[2])


@click.command(
    short_help="Tell what other algorithms would have cost and found.",
    epilog=examples(
        "hpo-pipe simulate ./study --algorithm study --algorithm 'asha(eta=4)' --algorithm hyperband",
        "hpo-pipe simulate study.toml --curves synthetic:crossing --algorithm asha+gp --workers 64",
        "hpo-pipe simulate --curves synthetic:noisy --budget 50x --seeds 10 --plot noisy.svg",
        "hpo-pipe simulate --function bench:curve --algorithm asha --algorithm none --output json",
    ),
)
@click.argument("study", required=False)
@click.option(
    "--curves",
    metavar="KIND:WHAT",
    help="synthetic:NAME (power_law, crossing, noisy, diverging, useless_rung), recorded:URL or function:MODULE:NAME. "
    "By default the recorded curves of a study, and synthetic:power_law for a study file.",
)
@click.option("--recorded", metavar="URL", help="The same as --curves recorded:URL.")
@click.option(
    "--function", metavar="MODULE:NAME", help="The same as --curves function:MODULE:NAME. Runs your code."
)
@click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    metavar="ALGORITHM",
    help="A scheduler, a searcher, or both with a plus: asha, 'asha(eta=4)', hyperband+kde, 'asha(brackets=2)+gp'; "
    "options as in [algorithm], eta and min as in [resource], in TOML. `study` is the study's own. May be repeated.",
)
@click.option("--workers", type=Count(1, 100_000), default=8, show_default=True, help="One trial each.")
@click.option(
    "--budget", type=Budget(), help="End after so many units of training, or whole trainings as in 50x."
)
@click.option(
    "--time", "seconds", type=Duration(), help="End after so much virtual time, as in 90min or 12h."
)
@click.option("--trials", type=Count(min=1), help="End after so many trials.")
@click.option("--seeds", type=Count(1, 1000), default=3, show_default=True, help="Runs of each algorithm.")
@click.option("--seed", type=Count(min=0), default=0, show_default=True, help="The first of them.")
@click.option(
    "--only-recorded",
    is_flag=True,
    help="Try the recorded configurations, not the searcher's: with the first seed in order, else shuffled.",
)
@click.option(
    "--full-curves", is_flag=True, help="Read every recorded point, not only the log's 64 for each piece."
)
@click.option(
    "--startup",
    "startup_s",
    type=Duration(),
    default="0s",
    help="What each piece of training takes to start.",
)
@click.option(
    "--spread",
    type=Number(0, 2),
    metavar="NUMBER",
    default=0.0,
    help="How much workers differ in speed: the standard deviation of the logarithm.",
)
@click.option(
    "--price-per-hour",
    type=Number(0, min_open=True),
    metavar="DOLLARS",
    help="Of one worker, for a study that has a budget (limits.cost).",
)
@click.option("--tick", "tick_s", type=Duration(), default="0s", help="From a result to the decision on it.")
@click.option(
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="What stdout gets.",
)
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the lines to this SVG file."
)
def simulate(
    study: str | None,
    curves: str | None,
    recorded: str | None,
    function: str | None,
    algorithms: tuple[str, ...],
    output: str,
    plot: Path | None,
    **given: Any,
) -> None:
    """Tell what a search would have cost and found: real decisions, virtual workers, curves that are known.

    STUDY is a study's URL, whose recorded curves then stand in for training, or a study file. Without a budget, a time
    or a number of trials the study's own limits hold, and 100 % are what the longest run took.

    Recorded curves: a configuration that was not recorded is answered by the nearest one that was; a trial that was
    stopped early goes on as the nearest one that got further did, and keeps its rank among those. How far that can be
    trusted is said with the result. Fewer values than asked for from a function mean that training crashes.
    """
    from hpo_pipe.simulate.comparison import compare

    found = _source(study, _curves(curves, recorded, function), given["full_curves"])
    contenders = _contenders(found, algorithms, given)
    say(f"simulating {found.told}")
    with _progress(len(contenders) * given["seeds"]) as begins:
        result = compare(
            contenders,
            found.curves,
            _setting(found.study, given),
            range(given["seed"], given["seed"] + given["seeds"]),
            begins,
            shuffled=given["only_recorded"],
        )
    _show(_noted(result, found), output)
    if plot is not None:
        from hpo_pipe.simulate.plots import panels
        from hpo_pipe.simulate.svg import svg

        plot.write_text(svg(list(panels(result)), f"{found.study.name}: {found.told}"), encoding="utf-8")
        say(f"plot: {plot}")


def _curves(curves: str | None, recorded: str | None, function: str | None) -> str | None:
    """Return the curves that are asked for, as KIND:WHAT."""
    named = {"--curves": curves, "--recorded": recorded, "--function": function}
    chosen = [name for name, value in named.items() if value is not None]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)}: expected one of them")
    if recorded is not None:
        return f"recorded:{recorded}"
    return f"function:{function}" if function is not None else curves


def _source(study: str | None, curves: str | None, full: bool) -> Source:
    from hpo_pipe.creation import drafted
    from hpo_pipe.simulate.sources import of_draft, source
    from hpo_pipe.study import open_study
    from hpo_pipe.study_file.load import LOADERS

    if study is None and curves is None:
        raise click.UsageError("expected a STUDY, or --curves KIND:WHAT")
    is_file = study is not None and Path(study).suffix.lower() in LOADERS
    base: Study | None = None
    if study is not None:
        base = of_draft(drafted(study), say) if is_file else open_study(study).definition
    kind, _, what = (curves or ("synthetic:power_law" if is_file else f"recorded:{study}")).partition(":")
    return source(kind, what, base, full=full)


def _contenders(found: Source, algorithms: tuple[str, ...], given: dict[str, Any]) -> list[Contender]:
    from dataclasses import replace

    from hpo_pipe.simulate.contenders import OWN, contender
    from hpo_pipe.simulate.sources import recorded_only

    limits = _limits(found.study, given)
    base = found.study
    if given["only_recorded"]:
        base = recorded_only(found)
        count = len(base.enqueued)
        limits = replace(limits, trials=min(count, limits.trials or count))
    return [contender(base, text, limits) for text in dict.fromkeys(algorithms or (OWN,))]


def _limits(study: Study, given: dict[str, Any]) -> Limits:
    """Return the study's own limits, or none where the command names one: the run is then cut there."""
    from dataclasses import replace

    from storage_schema.records import Limits

    if given["budget"] or given["seconds"] or given["trials"]:
        return Limits(trials=given["trials"])
    own, price = study.limits, given["price_per_hour"]
    if own.cost is None:
        return own
    if not price:
        raise click.UsageError(
            "the study has a budget (limits.cost): say what a worker costs, --price-per-hour"
        )
    hours = own.cost / price  # a virtual worker is one GPU, and the time that it trains is what it costs
    return replace(own, cost=None, gpu_hours=min(hours, hours if own.gpu_hours is None else own.gpu_hours))


def _setting(study: Study, given: dict[str, Any]) -> Setting:
    import math

    from hpo_pipe.simulate.comparison import Setting

    budget, whole = given["budget"] or (math.inf, False)
    top = study.resource.max if study.resource else 1
    return Setting(
        workers=given["workers"],
        units=budget * top if whole else budget,
        seconds=given["seconds"] or math.inf,
        startup_s=given["startup_s"],
        spread=given["spread"],
        tick_s=given["tick_s"],
    )


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[str, int], object]]:
    """Give a function to be told of each run; it draws a bar where a person looks."""
    if not on_terminal(err=True):
        yield lambda label, seed: None
        return
    from rich.progress import Progress

    with Progress(console=console(err=True), transient=True) as bar:
        task = bar.add_task("", total=runs, completed=-1)
        yield lambda label, seed: bar.update(task, advance=1, description=f"{label}, seed {seed}")


def _noted(result: Comparison, found: Source) -> Comparison:
    """Return the comparison with what recorded curves have to say of themselves."""
    from dataclasses import replace

    from hpo_pipe.simulate.recorded import RecordedCurves

    if not isinstance(found.curves, RecordedCurves):
        return result
    top = found.study.resource.max if found.study.resource else 1
    return replace(result, notes=tuple(found.curves.notes(top)))


def _show(result: Comparison, output: str) -> None:
    from hpo_pipe.simulate import tables

    if output == "json":
        print_json(tables.comparison_json(result))
    elif output == "csv":
        print_lines(tables.comparison_csv(result).split("\n"))
    else:
        say(f"\n{tables.heading(result)}\n")
        print_grid(tables.quality_grid(result))
        print_lines([""])
        print_grid(tables.cost_grid(result))
        if on_terminal():
            _draw(result)
    for note in result.notes:
        say(f"note: {note}")


def _draw(result: Comparison) -> None:
    """Draw the panel over the resource on the terminal."""
    from rich.text import Text

    from hpo_pipe.simulate.chart import COLOURS, chart
    from hpo_pipe.simulate.plots import panels
    from storage_schema.terminal import one_line

    screen = console()
    panel = next(panels(result))
    legend = [(f"━━ {one_line(label)}   ", COLOURS[n % len(COLOURS)]) for n, label in enumerate(panel.lines)]
    screen.print()
    screen.print(Text(panel.y_title, style="bold"), Text.assemble(*legend))
    for row in chart(panel, min(screen.width, MAX_WIDTH), CHART_HEIGHT):
        screen.print(Text.assemble(*((c, COLOURS[o % len(COLOURS)] if o >= 0 else "dim") for c, o in row)))
