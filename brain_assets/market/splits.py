"""Jumps that look like splits or dividends that were never taken out of prices, or like a decimal point that slipped.

News that move a price far between a close and the next open bring a day of many trades and wide moves. A split brings
neither: the price opens at a ratio such as 1:2 of the close before, then moves as on any other day, and as many
dollars' worth are traded. So a jump is held against what is usual for its symbol in its year. Measured on 347 stocks
over 18 years, bars adjusted: 13 jumps, of which 11 are faults of these data. Splits put into these bars are found to
99 %, 3:2 to 95 %, 5:4 to 67 %, the rest being usual for very volatile symbols; their ratio is named to 97 %.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.market.calendar import years_of

_FOR_ONE = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1000)
_FORWARD = {5 / 4: "5:4", 4 / 3: "4:3", 3 / 2: "3:2", 5 / 2: "5:2"} | {float(n): f"{n}:1" for n in _FOR_ONE}
_REVERSE = {1 / factor: ":".join(name.split(":")[::-1]) for factor, name in _FORWARD.items()}
RATIOS: Mapping[float, str] = _FORWARD | _REVERSE  # new shares for one old share -> how it is written, new before old
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
    ratio: str  # new shares for old ones, "4:1", "1:10"; empty: near none, as after a dividend or a spin-off
    factor: float
    """The same as a number; without a ratio, the close before over the open. Prices before the day divided by it, and
    volumes multiplied, are on the level of those from then on."""
    back: pd.Timestamp | None
    """The session on which prices were back, the same one if by its close: a slip, or one day's wrong bar; None: they
    stayed on the new level, as after a split or a dividend."""

    @property
    def words(self) -> str:
        """Symbol, day, and ratio or change: "QUAD 2019-08-05 4:1", "VEGA 2019-03-12 1:10 until 2019-03-15"."""
        until = f" until {self.back:%Y-%m-%d}" if self.back is not None else ""
        return f"{self.symbol} {self.date:%Y-%m-%d} {self.ratio or f'{1 / self.factor - 1:+.0%}'}{until}"


def find_jumps(prices: pd.DataFrame, previous_closes: Mapping[str, float] | None = None) -> list[Jump]:
    """Find jumps that look like splits, dividends or slipped decimal points, by date.

    Of bars in any order; those with a price of 0 or less are left out. `previous_closes`: of symbols the close before
    the first bar, on the level of these. What was taken back is one jump, at its first session.
    """
    gaps = _with_gaps(prices, previous_closes or {})
    return sorted(_jumps_among(gaps), key=lambda jump: (jump.date, jump.symbol))


def _with_gaps(prices: pd.DataFrame, previous_closes: Mapping[str, float]) -> pd.DataFrame:
    """Give the bars that open far from the close before, with what is usual for their symbol and year; in order."""
    sound = (prices[["open", "high", "low", "close"]] > 0).all(axis=1)  # what is not is found by another check
    bars = prices[sound].sort_values(["symbol", "date"], ignore_index=True)
    place = bars.groupby("symbol").cumcount()
    before = bars["close"].shift().where(place > 0)
    before = before.fillna(bars["symbol"].map(dict(previous_closes)).astype(float))
    bars = bars.assign(
        place=place,
        year=years_of(bars["date"].to_numpy().astype("datetime64[D]")),
        before=before,
        gap=np.log(bars["open"] / before),
        move=np.log(bars["close"] / before),
        range=np.log(bars["high"] / bars["low"]),
    )
    far = bars[bars["gap"].abs() > SMALLEST]
    wanted = bars[bars["symbol"].isin(far["symbol"].unique())]
    return far.join(_usual(wanted), on=["symbol", "year"])


def _usual(bars: pd.DataFrame) -> pd.DataFrame:
    """Give the usual gap, move and range of each symbol and year (gap and move as standard deviations), and volume."""
    sizes = bars.assign(volume=bars["volume"].where(bars["volume"] > 0), gap=bars["gap"].abs(), move=bars["move"].abs())
    medians = sizes.groupby(["symbol", "year"])[["gap", "move", "range", "volume"]].median()
    medians[["gap", "move"]] *= 1.4826  # of a normal distribution's median absolute deviation
    medians[["gap", "move", "range"]] = medians[["gap", "move", "range"]].clip(lower=_FLOOR)
    return medians.add_prefix("usual_")


def _jumps_among(gaps: pd.DataFrame) -> Iterator[Jump]:
    known = np.array(list(RATIOS))
    nearest = known[np.abs(-gaps["gap"].to_numpy()[:, np.newaxis] - np.log(known)).argmin(axis=1)]
    is_near = _is_near(gaps, nearest)
    back_at_once = _back_by_the_close(gaps).to_numpy()
    jumped = _without_news(gaps, nearest, is_near).to_numpy() | back_at_once
    taken_back: set[int | None] = set()
    for row in np.flatnonzero(jumped).tolist():
        if row in taken_back:
            continue
        back = row if back_at_once[row] else _taken_back_at(gaps, row)
        taken_back.add(back)
        bar = gaps.iloc[row]
        ratio = RATIOS[nearest[row]] if is_near.iloc[row] else ""
        factor = nearest[row] if ratio else bar["before"] / bar["open"]
        until = None if back is None else gaps["date"].iloc[back]
        yield Jump(str(bar["symbol"]), bar["date"], ratio, float(factor), until)


def _is_near(gaps: pd.DataFrame, nearest: FloatArray) -> pd.Series:
    """Tell which open and close as near to a ratio as usual moves would leave them; to 3:1 and more, near at all."""
    expected = -np.log(nearest)
    opened, closed = (gaps["gap"] - expected).abs(), (gaps["move"] - expected).abs()
    usual = (opened < 5.5 * gaps["usual_gap"]) & (closed < 3 * gaps["usual_move"]) & (closed < 0.16)
    clear = (np.abs(expected) >= np.log(3)) & (closed < 0.1) | _back_by_the_close(gaps)
    return (opened < 0.1) & (usual | clear)


def _without_news(gaps: pd.DataFrame, nearest: FloatArray, near: pd.Series) -> pd.Series:
    """Tell which gaps are far beyond what is usual, while range, session and volume of the day are not."""
    moves = gaps["gap"].abs() / gaps["usual_move"]
    calm = (gaps["range"] < QUIET_RANGE * gaps["usual_range"]) & (
        (gaps["move"] - gaps["gap"]).abs() < QUIET_SESSION * gaps["usual_move"]
    )
    volume = gaps["volume"] / gaps["usual_volume"]
    quiet = ~(volume > np.where(near, QUIET_SPLIT * np.maximum(nearest, 1), QUIET_DIVIDEND))
    beyond_news = (gaps["gap"].abs() > np.log(3.5)) | (moves > BEYOND_NEWS)
    return (moves > USUAL_MOVES) & calm & (quiet | beyond_news)


def _back_by_the_close(gaps: pd.DataFrame) -> pd.Series:
    """Tell which open at a third of the close before, or at three times as much, and close where they were."""
    return (gaps["gap"].abs() > np.log(3)) & (gaps["move"].abs() < 0.3 * gaps["gap"].abs())


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
