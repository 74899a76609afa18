"""`make bench`: every figure beside a plain loop in the same run."""

from rich.console import Console
from rich.table import Table

from benchmarks import commands, files, finbert, forecasts, growth, hub, patchtst, policies, report, training
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig

FIRST_TRY = LstmConfig(n_layers=2, hidden_size=64, dropout=0.2, learning_rate=1e-3)
"""The configuration that a plain loop starts with, untuned."""


START = PatchTstConfig(n_layers=2, d_model=64, n_heads=4, feedforward_size=512)
"""The PatchTST that a plain loop starts with, untuned; the last is transformers' default."""


def main() -> None:
    console = Console(width=120)
    table = Table("what", "ours", "plain loop", "ratio", "reach", title=f"{growth.machine()}: medians")

    def add(*cells: str) -> None:
        table.add_row(*cells)
        console.print(" | ".join(cells), style="dim")

    for label, config, threads in (
        ("LSTM training, windows/s; plain: untuned, 2 x 64 units, dropout 0.2", FIRST_TRY, None),
        ("… plain: our network, one thread as ours", LstmConfig(), 1),
        ("… plain: our network, all threads", LstmConfig(), None),
    ):
        ours, plain = training.throughput(LstmConfig(), config, threads)
        add(label, f"{ours:,.0f}", f"{plain:,.0f}", f"{ours / plain:.2f}x", "1.5x")
    for label, config in (("same network", LstmConfig()), ("plain untuned", FIRST_TRY)):
        reached, plain, best, own = training.time_to_best(config)
        add(
            f"time to the plain loop's best validation loss {best:.4f} ({label}; our best {own:.4f})",
            f"{reached:.1f} s",
            f"{plain:.1f} s",
            f"{plain / reached:.1f}x",
            "10x",
        )
    for label, config, threads in (
        ("PatchTST training, 12-channel windows/s; plain: stride 1, our network, one thread", PatchTstConfig(), 1),
        ("… plain: stride 1, our network, all threads", PatchTstConfig(), None),
        ("… plain: stride 1, untuned, 2 x 64 units, all threads", START, None),
    ):
        ours, plain = patchtst.throughput(config, threads)
        add(label, f"{ours:,.0f}", f"{plain:,.0f}", f"{ours / plain:.1f}x", "10x")
    ours, lstm = patchtst.seconds()
    label = "PatchTST snapshot, 23 symbols, 2010-2019; plain: the LSTM's"
    add(label, f"{ours:.1f} s", f"{lstm:.1f} s", f"{ours / lstm:.1f}x", "at most 3x")
    for family, seconds in policies.measure().items():
        add(f"{family} policy of one year, 20 assets, 520 weeks", f"{seconds:.1f} s", "", "", "60 s")
    add(
        f"backtest of one year, all strategies, {report.N_SYMBOLS} assets",
        f"{report.backtest_seconds():.2f} s",
        "",
        "",
        "",
    )
    drawn = report.report_cost()
    add("report of ten years; its size", f"{drawn.seconds:.1f} s; {drawn.mebibytes:.1f} MiB", "", "", "20 s; 5 MB")
    ours, plain = finbert.measure()
    label = "headlines scored a second, FinBERT's size; plain: one at a time"
    add(label, f"{ours:.1f}", f"{plain:.1f}", f"{ours / plain:.1f}x", "3x")
    ours, plain = forecasts.measure()
    add("forecasts of one year, 23 symbols", f"{ours:.3f} s", f"{plain:.3f} s", f"{plain / ours:.1f}x", "8x")
    speed = policies.environment_speed()
    vectorized = min(speed.vectorized, speed.vectorized_actions)
    ratio = f"{speed.ratio:.1f}x"
    add("environment steps/s, 256 x 20 assets", f"{vectorized:,.0f}", f"{speed.single:,.0f}", ratio, "500,000; 15x")
    add("import brain_assets.definitions", f"{commands.definitions():.2f} s", "", "", "2 s")
    add("backfill of four years already done", f"{commands.finished_backfill():.1f} s", "", "", "10 s")
    overhead = commands.job_overhead()
    label = "what Dagster adds to a run of a six-year backfill by job; once, until its daemon looks"
    between = (overhead.wall - overhead.steps - overhead.before_first) / len(commands.YEARS)
    add(label, f"{between:.1f} s; {overhead.before_first:.0f} s", "", "", "6 s, both in")
    ticks = files.ticks()
    label = f"tick of new_data, {files.N_FILES} files of ten years: nothing changed, one file changed"
    add(label, f"{ticks.unchanged:.2f} s, {ticks.one_changed:.2f} s", "", "", "1 s")
    add("… all new, the longest tick; how many", f"{ticks.first:.1f} s; {ticks.n_first}", "", "", "5 s")
    status = files.status()
    label = f"status, {files.N_STATUS_FILES} unchanged files more than one"
    add(label, f"{status.many - status.one:.2f} s", "", "", "0.2 s")
    first, second = commands.demo()
    add("make demo, the first time / again", f"{first:.0f} s / {second:.1f} s", "", "", "720 s / 30 s")
    figures = hub.measure()
    label = "sync status of 40 snapshots, requests of one family"
    add(label, f"{figures.status_requests} ({figures.status:.1f} s)", "", "", "")
    reached = {2: "1.5x", 8: "3x"}
    for label, ours, plain, reach in (
        ("sync pull of 40 snapshots, 50 ms latency; plain: one at a time", figures.pull, figures.plain_pull, "4x"),
        *(
            (f"sync push of {n} snapshots; plain: upload_folder a branch", ours, plain, reached.get(n, ""))
            for n, ours, plain in figures.pushes
        ),
    ):
        add(label, f"{ours:.1f} s", f"{plain:.1f} s", f"{plain / ours:.1f}x", reach)
    share = figures.write / figures.training
    written = f"{1000 * figures.write:.1f} ms"
    add("writing a snapshot; plain: training it", written, f"{figures.training:.1f} s", f"{100 * share:.1f} %", "5 %")
    exponents = growth.small()
    label = "from 100 to 500 symbols, processor time of forecasts, of a backtest grows by a power of"
    add(label, ", ".join(f"{exponents[stage]:.2f}" for stage in growth.SMALL_STAGES), "", "", "1.1")
    console.print(table)


if __name__ == "__main__":
    main()
