"""Recordings of one cell, in order of time, as one history on one clock; and whether it can be this profile's cell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from relith.readings import COUNT_MAX

from host_sim.errors import InputError
from host_sim.formats.recording import Recording, growing

MOVED_SHARE = 0.02  # a record that moves less than this share of nominal capacity tells nothing, or is in another unit
JUMP_SHARE = 0.01  # a charge counter that jumps by more, of nominal, beyond what current can have passed, is none
SAME_CURRENT = 0.05  # a stretch of constant current: changes below this share
STRETCH_SHARE = 0.03  # stretches that move this share of nominal are asked whether voltage and current agree
WRONG_WAY_V = 0.3  # voltage that runs against the current by so much, over such a stretch
FLIP_V = 0.02  # a current turned round must move the voltage; looked at where the profile expects so much
STILL_SHARE = 0.02  # ... and refused where it moved by less than this share of that
TREND_SHARE = 0.05  # ... or went on as before, but for this share
ONE_WAY = 5.0  # nominal capacities that cannot go in, or out, without a turn: another unit of time, or another cell
FAHRENHEIT = 60.0  # degC, in which no cell is cycled; 15 degC would be read so
LEAST_WHOLE = 0.1  # of nominal, from one end of the voltage window to the other
END_V = 0.1  # so near to an end of the window, where a current takes its drop
MAH, S_PER_H = 1000.0, 3600.0
MOST_S = 86_400.0  # a day without a row, but with current, is a gap in any case
AROUND, FARTHER = 5, 5.0  # a gap is this many times what is usual among so many intervals on either side
LEAST_GAP_S, LEAST_REST_GAP_S = 65.0, 3600.0  # the firmware itself joins samples less than 65.5 s apart


@dataclass
class History:
    """Rows of all recordings together, n in all; `time_s` never falls. `place(k)` says file and line of row k."""

    recordings: list[Recording]
    time_s: np.ndarray
    current_a: np.ndarray
    voltage_v: np.ndarray  # (n, cells)
    temperature_degc: np.ndarray  # (n, sensors)
    net_ah: np.ndarray | None
    coarse_ah: float
    cycle: np.ndarray | None
    truth: dict[str, np.ndarray]
    first: np.ndarray  # first row of each recording
    notes: list[str] = field(default_factory=list)

    def place(self, k: int) -> str:
        """`file: line 17` of row k."""
        which = int(np.searchsorted(self.first, k, side="right")) - 1
        return self.recordings[which].at(k - int(self.first[which]))


def joined(recordings: list[Recording], temperature_degc: float | None) -> History:
    """One history. By Unix time where every file has it, else in the order given, each going on or beginning anew.

    `temperature_degc` is taken where a file has no temperature (None: 25). Raises InputError when files overlap or do
    not fit together.
    """
    notes = [note for r in recordings for note in r.notes]
    hashes: dict[str, Recording] = {}
    for r in recordings:
        if r.sha256 in hashes:
            raise InputError(f"{r.path}: line 1: holds the same bytes as {hashes[r.sha256].path}; give each file once")
        hashes[r.sha256] = r
    dated = all(r.unix_s is not None for r in recordings)
    if dated and len(recordings) > 1:
        recordings = sorted(recordings, key=lambda r: _unix(r)[0])
    times, end_s = [], None
    for r in recordings:
        time_s = r.time_s - r.time_s[0] if end_s is None else r.time_s
        if end_s is not None:
            before = recordings[len(times) - 1]
            if dated:
                begin_s = end_s + _unix(r)[0] - _unix(before)[1]
                if begin_s < end_s:
                    raise InputError(
                        f"{r.at(0)}: begins {end_s - begin_s:g} s before {before.path} ends (Unix time); files of one "
                        "history must not overlap"
                    )
                time_s = r.time_s - r.time_s[0] + begin_s
            elif r.time_s[0] >= before.time_s[-1]:
                time_s = r.time_s - r.time_s[0] + end_s + float(r.time_s[0] - before.time_s[-1])
            else:
                time_s = r.time_s - r.time_s[0] + end_s
                notes.append(
                    f"{r.path}: its time begins anew; the pause after {before.path} is not known, 0 s is taken"
                )
        times.append(time_s)
        end_s = float(time_s[-1])
    widths = {len(r.voltage_v) for r in recordings}
    if len(widths) > 1:
        raise InputError(f"{recordings[-1].path}: line 1: files differ in cells: {sorted(widths)} voltage columns")
    return History(
        recordings, np.concatenate(times), np.concatenate([r.current_a for r in recordings]),
        np.concatenate([np.column_stack(r.voltage_v) for r in recordings]),
        _temperatures(recordings, temperature_degc, notes), _counter(recordings),
        max(r.coarse_ah for r in recordings), _cycles(recordings), _truth(recordings),
        np.cumsum([0] + [len(t) for t in times[:-1]]), notes,
    )  # fmt: skip


def _unix(r: Recording) -> tuple[float, float]:
    """Unix time of the first row and of the last."""
    assert r.unix_s is not None
    return float(r.unix_s[0]), float(r.unix_s[-1])


def _temperatures(recordings: list[Recording], told: float | None, notes: list[str]) -> np.ndarray:
    sensors = max(1, max(len(r.temperature_degc) for r in recordings))
    parts = []
    for r in recordings:
        if r.temperature_degc:
            columns = [r.temperature_degc[min(k, len(r.temperature_degc) - 1)] for k in range(sensors)]
            parts.append(np.column_stack(columns))
            if parts[-1].min() >= FAHRENHEIT:
                notes.append(f"{r.path}: every temperature is {FAHRENHEIT:g} degC or more; are they degF (--columns)?")
        else:
            degc = 25.0 if told is None else told
            parts.append(np.full((len(r.time_s), sensors), degc))
            notes.append(f"{r.path}: has no temperature; {degc:g} degC is taken" + ("" if told else " (--temperature)"))
    return np.concatenate(parts)


def _counter(recordings: list[Recording]) -> np.ndarray | None:
    """Charge in less charge out by the cyclers' counters, as one; None when a file has none."""
    if any(r.counters_ah is None for r in recordings):
        return None
    charge, discharge = (growing(np.concatenate([r.counters_ah[k] for r in recordings])) for k in (0, 1))  # type: ignore
    return charge - discharge - (charge[0] - discharge[0])


def _cycles(recordings: list[Recording]) -> np.ndarray | None:
    if any(r.cycle is None for r in recordings):
        return None
    return np.concatenate([r.cycle for r in recordings])  # type: ignore[arg-type, misc]


def _truth(recordings: list[Recording]) -> dict[str, np.ndarray]:
    names = set.intersection(*(set(r.truth) for r in recordings))
    return {name: np.concatenate([r.truth[name] for r in recordings]) for name in sorted(names)}


def gaps(h: History, gap_s: float | None, idle_a: float) -> np.ndarray:
    """True (n,) where rows are missing before a row: farther from the one before than `gap_s`, or than is usual there.

    Usual: the second longest of the ten intervals around. A gap is more than five times that, and more than
    `LEAST_GAP_S` where current flows, `LEAST_REST_GAP_S` where none does; or a day with current.
    """
    wait_s = np.diff(h.time_s, prepend=h.time_s[:1])
    if gap_s is not None:
        return wait_s > gap_s
    size = np.abs(h.current_a)
    flows = np.maximum(size, np.concatenate((size[:1], size[:-1]))) > idle_a
    found = np.zeros(len(wait_s), dtype=bool)
    asked = np.flatnonzero(wait_s > np.where(flows, LEAST_GAP_S, LEAST_REST_GAP_S))
    around = np.concatenate((np.arange(-AROUND, 0), np.arange(1, AROUND + 1)))
    for part in np.array_split(asked, len(asked) // 100_000 + 1):
        places = part[:, None] + around
        there = (places >= 1) & (places < len(wait_s))
        near = np.where(there, wait_s[np.clip(places, 0, len(wait_s) - 1)], 0.0)
        found[part] = wait_s[part] > FARTHER * np.partition(near, -2, axis=1)[:, -2]
    return found | flows & (wait_s > MOST_S)


# -- can it be this profile's cell? ------------------------------------------------------------------------------------


def check(history: History, profile) -> None:
    """Refuse what no cell of this profile can have done: other unit, size or sign. Raises InputError."""
    h, nominal_ah = history, profile.nominal_capacity_uah * 1e-6
    size = np.abs(h.current_a)
    limit_a = COUNT_MAX * profile.current_lsb_na * 1e-9
    beyond = np.flatnonzero(size > limit_a)
    fits = f"{profile.source} is for a cell of {nominal_ah * MAH:g} mAh"
    if beyond.size:
        k = int(beyond[0])
        raise InputError(
            f"{h.place(k)}: current is {h.current_a[k]:g} A, beyond ±{limit_a:.4g} A: {fits}; another unit "
            "(--columns), or another cell (--capacity MAH, --profile)?"
        )
    passed_ah = np.diff(h.time_s, prepend=h.time_s[:1]) * 0.5 * (size + np.roll(size, 1)) / S_PER_H
    moved_ah = float(passed_ah[1:].sum()) if len(passed_ah) > 1 else 0.0
    if h.net_ah is not None:
        moved_ah = max(moved_ah, float(np.abs(np.diff(h.net_ah)).sum()))
    if moved_ah < MOVED_SHARE * nominal_ah:
        raise InputError(
            f"{h.place(len(size) - 1)}: {moved_ah * MAH:.4g} mAh have moved in all until here; {fits}: another unit "
            "(--columns), another cell (--capacity MAH, --profile), or no cycling?"
        )
    if h.net_ah is not None:
        jump_ah = np.abs(np.diff(h.net_ah, prepend=h.net_ah[:1]))
        most_ah = 1.5 * size.max() * np.diff(h.time_s, prepend=h.time_s[:1]) / S_PER_H + JUMP_SHARE * nominal_ah
        jumps = np.flatnonzero(jump_ah > most_ah)
        if jumps.size:
            k = int(jumps[0])
            raise InputError(
                f"{h.place(k)}: the charge columns jump by {jump_ah[k] * MAH:.4g} mAh within "
                f"{h.time_s[k] - h.time_s[k - 1]:g} s, but no current is above {size.max():.4g} A: damaged, or no "
                "counters"
            )
    check_signs(h, profile)
    check_one_way(h, profile)


def check_one_way(h: History, profile) -> None:
    """More than a few capacities cannot pass one way, but do where time is in ms; nor next to nothing from one end of
    the voltage window to the other, every time, as where minutes are read as seconds. Raises InputError."""
    nominal_ah = profile.nominal_capacity_uah * 1e-6
    idle_a = profile.one_c_ua * 1e-6 * profile.idle_permille * 1e-3
    wait_s = np.where(gaps(h, None, idle_a), 0.0, np.diff(h.time_s, prepend=h.time_s[:1]))
    flows = np.where(np.abs(h.current_a) > idle_a, h.current_a, 0.0)
    passed_ah = np.cumsum(flows * wait_s) / S_PER_H
    flowing = np.flatnonzero(flows)
    turns = np.flatnonzero(np.diff(np.sign(flows[flowing]))) + 1
    low_v, high_v = profile.min_uv * 1e-6 + END_V, profile.max_uv * 1e-6 - END_V
    most: tuple[float, int, int] = (-1.0, 0, 0)  # moved between both ends, first and last row
    for run in np.split(flowing, turns):
        if not run.size:
            continue
        since_ah = np.abs(passed_ah[run] - passed_ah[max(run[0] - 1, 0)])
        if h.voltage_v[run].min() <= low_v and h.voltage_v[run].max() >= high_v:
            most = max(most, (float(since_ah[-1]), int(run[0]), int(run[-1])))
        beyond = np.flatnonzero(since_ah > ONE_WAY * nominal_ah)
        if beyond.size:
            k = int(run[beyond[0]])
            raise InputError(
                f"{h.place(k)}: {since_ah[beyond[0]] * MAH:.4g} mAh have gone one way since line "
                f"{_line(h, int(run[0]))}; {profile.source} is for a cell of {nominal_ah * MAH:g} mAh: time or current "
                "in another unit (--columns), or another cell (--capacity MAH, --profile)?"
            )
    moved_ah, first, last = most
    if 0.0 <= moved_ah < LEAST_WHOLE * nominal_ah:
        raise InputError(
            f"{h.place(first)}: from here to line {_line(h, last)} the voltage goes from one end of the window to the "
            f"other and {moved_ah * MAH:.4g} mAh are moved, at no time more; {profile.source} is for a cell of "
            f"{nominal_ah * MAH:g} mAh: time or current in another unit (--columns), or another cell (--capacity MAH, "
            "--profile)?"
        )


def check_signs(h: History, profile) -> None:
    """Current and voltage must go the same way: mixed or turned signs show where they do not. Raises InputError."""
    nominal_ah = profile.nominal_capacity_uah * 1e-6
    current, time_s = h.current_a, h.time_s
    volts = h.voltage_v.mean(axis=1)
    idle_a = profile.one_c_ua * 1e-6 * profile.idle_permille * 1e-3
    changed = np.abs(np.diff(current)) > SAME_CURRENT * np.abs(current[:-1]) + idle_a
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    ends = np.append(starts[1:], len(current)) - 1
    moved = np.abs(current[starts]) * (time_s[ends] - time_s[starts]) / S_PER_H
    asked = np.flatnonzero((moved > STRETCH_SHARE * nominal_ah) & (np.abs(current[starts]) > idle_a))
    right, wrong = 0, None
    for j in asked.tolist():
        uphill = volts[starts[j] : ends[j] + 1] * np.sign(current[starts[j]])
        right += bool(uphill[-1] - uphill[0] > WRONG_WAY_V or uphill.max() - uphill[0] > WRONG_WAY_V)
        fallen = np.maximum.accumulate(uphill) - uphill
        if wrong is None and fallen.max() > WRONG_WAY_V:
            low = int(fallen.argmax())
            top = int(uphill[: low + 1].argmax())
            if (low - top) * moved[j] > STRETCH_SHARE * nominal_ah * max(len(uphill) - 1, 1):
                wrong = int(starts[j]) + top, int(starts[j]) + low
    if wrong is not None:
        k, end = wrong
        way = "charges" if current[k] > 0 else "discharges"
        if right:
            hint = "some signs are right and some are not; if the sign follows the step type, --columns sign=step-type"
        else:
            hint = "the sign is turned round; --columns sign=discharge-positive"
        raise InputError(
            f"{h.place(k)}: current is {current[k]:g} A, which {way}, but until line {_line(h, end)} the voltage goes "
            f"from {volts[k]:.3f} to {volts[end]:.3f} V: {hint}"
        )
    turned = current[1:] * current[:-1] < 0.0
    turned &= np.abs(current[1:] + current[:-1]) < 0.02 * np.abs(current[1:])
    expected = 2.0 * np.abs(current[1:]) * profile.resistance_uohm * 1e-6
    step_v, wait_s = np.diff(volts), np.diff(time_s)
    trend_v = np.roll(step_v / np.maximum(wait_s, 1e-3), 1) * wait_s
    trend_v[0] = 0.0
    still = np.abs(step_v) < STILL_SHARE * expected
    still |= np.abs(step_v - trend_v) < TREND_SHARE * expected
    flips = np.flatnonzero(turned & still & (expected > FLIP_V))
    if flips.size:
        k = int(flips[0]) + 1
        raise InputError(
            f"{h.place(k)}: current turns from {current[k - 1]:g} to {current[k]:g} A, the voltage goes on as before "
            f"at {volts[k]:.4f} V: mixed signs"
        )
    if h.net_ah is not None:
        counted, summed = h.net_ah[ends] - h.net_ah[starts], current[starts] * (time_s[ends] - time_s[starts]) / S_PER_H
        apart = asked[np.abs(counted - summed)[asked] > 0.5 * np.abs(summed)[asked]]
        if apart.size:
            j = int(apart[0])
            raise InputError(
                f"{h.place(int(starts[j]))}: until line {_line(h, int(ends[j]))} the current says "
                f"{summed[j] * MAH:.4g} mAh and the charge columns {counted[j] * MAH:.4g} mAh: sign or unit of one"
            )


def _line(h: History, k: int) -> int:
    which = int(np.searchsorted(h.first, k, side="right")) - 1
    return int(h.recordings[which].lines[k - int(h.first[which])])
