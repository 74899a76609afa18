"""What is asked of a year of bars once it is stored: of the market's own, and of what users bring.

Jumps are told that look like splits or dividends that were never taken out of prices, or like a decimal point that
slipped. News that move a price far between a close and the next open bring a day of many trades and wide moves. A split
brings neither: the price opens at a ratio such as 1:2 of the close before, then moves as on any other day, and as many
dollars' worth are traded. So a jump is held against what is usual for its symbol in its year. Measured on 347 stocks
over 18 years, bars adjusted: 13 jumps, of which 11 are faults of these data. Splits put into these bars are found to
99 %, 3:2 to 95 %, 5:4 to 67 %, the rest being usual for very volatile symbols; their ratio is named to 97 %.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, IntArray
from brain_assets.formatting import CheckResult, listed
from brain_assets.market.archive import closes_before, previous_closes
from brain_assets.market.calendar import years_of
from brain_assets.market.schema import OHLC_RULES, PRICE_TABLE, Rule, added_up, findings_of

_FOR_ONE = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1000)
_FORWARD = {5 / 4: "5:4", 4 / 3: "4:3", 3 / 2: "3:2", 5 / 2: "5:2"} | {float(n): f"{n}:1" for n in _FOR_ONE}
_REVERSE = {1 / factor: ":".join(name.split(":")[::-1]) for factor, name in _FORWARD.items()}
_RATIOS: Mapping[float, str] = _FORWARD | _REVERSE  # new shares for one old share -> how it is written, new before old
SMALLEST = 0.15  # of a jump from a close to the next open, as a logarithm; smaller ones are not told from news
USUAL_MOVES = 10  # how many usual daily moves a jump is at least
BEYOND_NEWS = 38  # so many are none of news, whatever the volume: 347 stocks in 18 years had at most 30 over night

QUIET_RANGE, QUIET_SESSION, QUIET_SPLIT, QUIET_DIVIDEND = 6, 4, 3, 4.5
"""Times what is usual, at most, on the day of a split or a dividend: high over low; the move from open to close; the
volume after a split, beyond what its ratio brings; after a dividend."""

BACK_WITHIN = 20  # sessions after which a jump that was taken back was no slip
_FLOOR = 0.004  # of what is usual: a price that hardly ever moves would make every move a jump


class Jump(NamedTuple):
    """A jump of a symbol's price that trading does not explain."""

    symbol: str
    date: pd.Timestamp  # the first session on the new level
    what: str  # new shares for old ones, "4:1", "1:10"; of a jump near none, as after a spin-off, the change: "-43%"
    back: pd.Timestamp | None
    """The session on which prices were back, the same one if by its close: a slip, or one day's wrong bar; None: they
    stayed on the new level, as after a split or a dividend."""

    @property
    def words(self) -> str:
        """Symbol, day, and ratio or change: "QUAD 2019-08-05 4:1", "VEGA 2019-03-12 1:10 until 2019-03-15"."""
        until = f" until {self.back:%Y-%m-%d}" if self.back is not None else ""
        return f"{self.symbol} {self.date:%Y-%m-%d} {self.what}{until}"


def find_jumps(prices: pd.DataFrame, before: Mapping[str, float] | None = None) -> list[Jump]:
    """Find jumps that look like splits, dividends or slipped decimal points, by date.

    Of bars in any order; those with a price of 0 or less are left out. `before`: of symbols the close before the first
    bar, on the level of these. What was taken back is one jump, at its first session.
    """
    gaps = _gaps(prices, before or {})
    known = np.array(list(_RATIOS))
    nearest = known[np.abs(-gaps["gap"].to_numpy()[:, np.newaxis] - np.log(known)).argmin(axis=1)]
    expected = -np.log(nearest)
    size, opened, closed = gaps["gap"].abs(), (gaps["gap"] - expected).abs(), (gaps["move"] - expected).abs()
    at_once = (size > np.log(3)) & (gaps["move"].abs() < 0.3 * size)  # back by the close
    # as near to a ratio as usual moves would leave it; to 3:1 and more, near at all
    usual = (opened < 5.5 * gaps["usual_gap"]) & (closed < 3 * gaps["usual_move"]) & (closed < 0.16)
    is_near = (opened < 0.1) & (usual | (np.abs(expected) >= np.log(3)) & (closed < 0.1) | at_once)
    moves, volume = size / gaps["usual_move"], gaps["volume"] / gaps["usual_volume"]
    in_session = (gaps["move"] - gaps["gap"]).abs()
    calm = (gaps["range"] < QUIET_RANGE * gaps["usual_range"]) & (in_session < QUIET_SESSION * gaps["usual_move"])
    quiet = ~(volume > np.where(is_near, QUIET_SPLIT * np.maximum(nearest, 1), QUIET_DIVIDEND))
    beyond_news = (size > np.log(3.5)) | (moves > BEYOND_NEWS)
    jumped = (moves > USUAL_MOVES) & calm & (quiet | beyond_news) | at_once
    found, taken_back = [], set[int | None]()
    for row in np.flatnonzero(jumped).tolist():
        if row not in taken_back:
            back = row if at_once.iloc[row] else _taken_back_at(gaps, row)
            taken_back.add(back)
            bar = gaps.iloc[row]
            what = _RATIOS[nearest[row]] if is_near.iloc[row] else f"{1 / (bar['before'] / bar['open']) - 1:+.0%}"
            until = None if back is None else gaps["date"].iloc[back]
            found.append(Jump(str(bar["symbol"]), bar["date"], what, until))
    return sorted(found, key=lambda jump: (jump.date, jump.symbol))


def _gaps(prices: pd.DataFrame, before: Mapping[str, float]) -> pd.DataFrame:
    """Give the bars that open far from the close before, with what is usual for their symbol and year; in order."""
    sound = (prices[["open", "high", "low", "close"]] > 0).all(axis=1)  # what is not is found by another check
    bars = prices[sound].sort_values(["symbol", "date"], ignore_index=True)
    previous = previous_closes(bars, before)
    bars = bars.assign(
        place=bars.groupby("symbol").cumcount(),
        year=bars["date"].dt.year,
        before=previous,
        gap=np.log(bars["open"] / previous),
        move=np.log(bars["close"] / previous),
        range=np.log(bars["high"] / bars["low"]),
    )
    far = bars[bars["gap"].abs() > SMALLEST]
    sizes = bars[bars["symbol"].isin(far["symbol"].unique())]
    sizes = sizes.assign(
        volume=sizes["volume"].where(sizes["volume"] > 0), gap=sizes["gap"].abs(), move=sizes["move"].abs()
    )
    usual = sizes.groupby(["symbol", "year"])[["gap", "move", "range", "volume"]].median()
    usual[["gap", "move"]] *= 1.4826  # of a normal distribution's median absolute deviation
    usual[["gap", "move", "range"]] = usual[["gap", "move", "range"]].clip(lower=_FLOOR)
    return far.join(usual.add_prefix("usual_"), on=["symbol", "year"])


def _taken_back_at(gaps: pd.DataFrame, row: int) -> int | None:
    """Find the gap that takes another back within `BACK_WITHIN` sessions; None: it was kept."""
    jump = gaps.iloc[row]
    later = gaps.iloc[row + 1 : row + 1 + BACK_WITHIN]
    back = (
        (later["symbol"] == jump["symbol"])
        & (later["place"] <= jump["place"] + BACK_WITHIN)
        & (later["gap"] * jump["gap"] < -0.5 * jump["gap"] ** 2)
        & (np.log(later["close"] / jump["before"]).abs() < 0.3 * abs(jump["gap"]))
    )
    found = np.flatnonzero(back)
    return row + 1 + int(found[0]) if len(found) else None


JUMP = 0.4  # of a close over the one before: farther is a fault of the data more often than news
BUSY = 3  # times the usual volume: on such a day news moved the price, unless it trebled or worse

MAX_MISSING, MIN_MISSING = 0.05, 5
"""Of a symbol's sessions in a calendar year, from its first bar to its last: a larger share, a week's at least."""

MOST_SAID = 10  # findings that a check says in words; it counts all
STILL = 5  # sessions in a row with the same close and without a share traded


class SymbolSpans(NamedTuple):
    """Which sessions of a table each symbol has; sessions that no symbol has are left out."""

    symbols: list[str]  # sorted
    sessions: DateArray  # (n_sessions,)
    present: BoolArray  # (n_assets, n_sessions): has a bar
    missing: BoolArray  # (n_assets, n_sessions): has none, between its first and its last one
    late: dict[str, str]  # symbol -> its first day, if it was not there from the beginning
    ended: dict[str, str]  # symbol -> its last day, if it is not there to the end


def symbol_spans(prices: pd.DataFrame, previously: Collection[str] = ()) -> SymbolSpans:
    """Lay out which sessions each symbol has; `previously`: symbols with a bar before these, which are not late."""
    codes, symbols = pd.factorize(prices["symbol"], sort=True)
    sessions, places = np.unique(prices["date"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    present = np.zeros((len(symbols), len(sessions)), dtype=bool)
    present[codes, places] = True
    before = np.isin(symbols, list(previously))
    since = np.maximum.accumulate(present, axis=1) | before[:, np.newaxis]
    until = np.maximum.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    first, last = since.argmax(axis=1), len(sessions) - 1 - until[:, ::-1].argmax(axis=1)
    named = [str(symbol) for symbol in symbols]
    late = {named[i]: str(sessions[first[i]]) for i in np.flatnonzero(first > 0)}
    ended = {named[i]: str(sessions[last[i]]) for i in np.flatnonzero(last < len(sessions) - 1)}
    return SymbolSpans(named, sessions, present, since & until & ~present, late, ended)


def table_verdicts(name: str, table: pd.DataFrame, scheduled: DateArray) -> dict[str, CheckResult]:
    """Check a stored raw table: what was found of it, and of bars also what they are; `scheduled`: of its range.

    What was found goes to two checks; what names neither is one of rows.
    """
    verdicts, findings = {}, added_up(findings_of(table))
    for check, good in {
        "rows_taken": f"all {len(table):,} rows were taken as they came",
        "symbols_found": f"{table['symbol'].nunique()} symbols, and none is missing",
    }.items():
        found = [each for each in findings if (each.check == "symbols_found") is (check == "symbols_found")]
        said = [finding.sentence for finding in found[:MOST_SAID]]
        if len(found) > MOST_SAID:
            said.append(f"{len(found) - MOST_SAID} more of the kind.")
        counts = {f"{finding.subject}: {finding.what}": finding.n_rows for finding in found}
        verdicts[check] = CheckResult(not found, " ".join(said) or good, counts)
    return verdicts | (price_verdicts(table, scheduled, closes_before(table)) if name == "raw_prices" else {})


def price_verdicts(
    prices: pd.DataFrame, scheduled: DateArray, before: Mapping[str, float] | None = None
) -> dict[str, CheckResult]:
    """Check a table of bars against the sessions `scheduled` in its range, and the closes before it on its level."""
    single = Rule("date", "one bar a session and symbol", lambda bars: ~bars.duplicated(["date", "symbol"]))
    previous, ordered = before or {}, prices.sort_values(["symbol", "date"], ignore_index=True)
    return {
        "calendar_complete": _calendar_complete(symbol_spans(prices, previous), scheduled),
        "positive": _each(
            prices, PRICE_TABLE.value_rules, "prices above 0 and volumes of 0 or more", "correct or remove them"
        ),
        "ohlc_in_order": _each(prices, OHLC_RULES, "open and close between low and high", "correct or remove them"),
        "no_duplicates": _each(prices, [single], single.expected, "remove the others"),
        "no_jumps": _no_jumps(ordered, previous),
        "traded": _traded(ordered),
    }


def _calendar_complete(spans: SymbolSpans, scheduled: DateArray) -> CheckResult:
    empty = np.setdiff1d(scheduled, spans.sessions)
    lasting = _counted_by_year(spans.missing | spans.present, spans.sessions)
    share = _counted_by_year(spans.missing, spans.sessions) / np.maximum(lasting, 1)
    holes = spans.missing.sum(axis=1)
    wide = (share > MAX_MISSING).any(axis=1) & (holes >= MIN_MISSING)
    said = []
    if len(empty):
        said.append(
            f"{len(empty)} of {len(scheduled)} sessions of the exchange have no bar: {listed(list(map(str, empty)))}; "
            "a week with fewer than 3 sessions is dropped."
        )
    if wide.any():
        first = spans.sessions[spans.missing.argmax(axis=1)]
        which = np.flatnonzero(wide)
        places = [f"{spans.symbols[i]}: {holes[i]} sessions without a bar from {first[i]} on" for i in which]
        said.append(f"{listed(places)}.")
    narrow = f", but for {holes.sum()} of {np.count_nonzero(holes)} symbols" if holes.any() else ""
    good = f"a bar on each of the {len(scheduled)} sessions of the exchange{narrow}"
    return CheckResult(not said, " ".join(said) or good)


def _counted_by_year(flags: BoolArray, sessions: DateArray) -> IntArray:
    """Count over the sessions of each calendar year; (n_assets, n_years)."""
    starts = np.unique(years_of(sessions), return_index=True)[1]
    return np.add.reduceat(flags.astype(np.int64), starts, axis=1)


def _no_jumps(ordered: pd.DataFrame, before: Mapping[str, float]) -> CheckResult:
    jumps = find_jumps(ordered, before)
    kept = [jump.words for jump in jumps if jump.back is None]
    slipped = [jump.words for jump in jumps if jump.back is not None]
    others, n_news = _other_jumps(ordered, before, jumps)
    said = []
    if kept:
        one, several = "jump looks like a split or a dividend that was", "jumps look like splits or dividends that were"
        said.append(f"{_numbered(kept, one, several)} never taken out: {listed(kept, 10)}; use adjusted prices.")
    if slipped:
        words = _numbered(slipped, "jump looks like a decimal point", "jumps look like decimal points")
        said.append(f"{words} that slipped: {listed(slipped, 10)}; correct these bars.")
    if others:
        words = _numbered(others, "close lies", "closes lie")
        said.append(f"{words} more than {JUMP:.0%} from the one before: {listed(others)}.")
    news = f", but for {n_news} on days of {BUSY} times the usual volume" if n_news else ""
    return CheckResult(not said, " ".join(said) or f"no close lies more than {JUMP:.0%} from the one before{news}")


def _numbered(found: Collection[object], one: str, several: str) -> str:
    return f"1 {one}" if len(found) == 1 else f"{len(found)} {several}"


def _other_jumps(ordered: pd.DataFrame, before: Mapping[str, float], jumps: Sequence[Jump]) -> tuple[list[str], int]:
    """Name closes far from the one before that are none of these jumps, the farthest first; count those of news."""
    far = ordered.assign(change=ordered["close"] / previous_closes(ordered, before) - 1)
    far = far[far["change"].abs() > JUMP].sort_values(["date", "symbol"])
    known = {(jump.symbol, date) for jump in jumps for date in (jump.date, jump.back)}
    far = far[np.array([(row.symbol, row.date) not in known for row in far.itertuples()], dtype=bool)]
    usual = ordered.groupby(["symbol", ordered["date"].dt.year])["volume"].transform("median").reindex(far.index)
    busy = (far["volume"] > BUSY * usual) & far["change"].between(1 / 3 - 1, 3 - 1)
    named = far[~busy].assign(size=lambda rows: np.maximum(1 + rows["change"], 1 / (1 + rows["change"])))
    named = named.sort_values("size", ascending=False, kind="stable")
    return [f"{row.date:%Y-%m-%d} {row.symbol} {row.change:+.0%}" for row in named.itertuples()], int(busy.sum())


def _traded(ordered: pd.DataFrame) -> CheckResult:
    """Name prices that stand still without a share traded, and sessions without any for most symbols."""
    still = (ordered["volume"] == 0) & (ordered["close"] == ordered.groupby("symbol")["close"].shift())
    runs = ordered.assign(run=(~still).cumsum())[still].groupby(["symbol", "run"])["date"].agg(["size", "min"])
    long = runs[runs["size"] >= STILL].groupby("symbol").agg({"size": "sum", "min": "min"})
    idle = (ordered["volume"] == 0).groupby(ordered["date"]).agg(["sum", "size"])
    idle = idle[idle["sum"] > idle["size"] / 2]
    said = []
    if len(long):
        places = [f"{row.Index}: {row.size} sessions from {row.min:%Y-%m-%d} on" for row in long.itertuples()]
        said.append(f"closes that stand still for {STILL} sessions or more, with volume 0: {listed(places)}.")
    if len(idle):
        days = [f"{day:%Y-%m-%d} ({row['sum']} of {row['size']})" for day, row in idle.iterrows()]
        said.append(f"{_numbered(days, 'session', 'sessions')} on which most symbols have volume 0: {listed(days)}.")
    return CheckResult(not said, " ".join(said) or f"no close stands still for {STILL} sessions with volume 0")


def _each(prices: pd.DataFrame, rules: Sequence[Rule], words: str, advice: str) -> CheckResult:
    good = np.logical_and.reduce([rule.holds(prices) for rule in rules])
    if good.all():
        return CheckResult(True, f"{words}, in all {len(prices):,} bars")
    named = [f"{row.date:%Y-%m-%d} {row.symbol}" for row in prices[~good].itertuples()]
    return CheckResult(False, f"expected {words}, got {len(named)} bars that are not so: {listed(named)}; {advice}.")
