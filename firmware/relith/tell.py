"""The words of `relith.status()`. Loaded when somebody asks, so that a running board does not carry them."""

from relith.profile import lines
from relith.protection import CRC

STATES = ("BOOT", "IDLE", "CHARGE", "DISCHARGE", "PULSE", "REST", "SOFT_LIMIT", "FAULT", "LOCKOUT", "STORAGE")
_KNOWN = ("unknown", "inferred", "measured")


def tell(bms):
    """Print state, limits, readings, and where each cell's lithium is."""
    if bms is None:
        print("Relith is not running.")
        return
    r, out, p = bms.readings, bms.outputs, bms.profile
    print("%s: %s" % (p.name, _what(out)))
    print("alarms: " + _alarms(out))
    print(
        "switches: charge %s, discharge %s, pulse %s"
        % tuple([_on(x) for x in (out.charge_enable, out.discharge_enable, out.pulse_count)])
    )
    lsb_na = p.current_lsb_na
    print("current %d uA of at most %d and -%d" % tuple([
        count * lsb_na // 1000 for count in (r.current_count, out.charge_limit_count, out.discharge_limit_count)
    ]))  # fmt: skip
    for k in range(len(bms.estimates)):
        e = bms.estimates[k]
        print("cell %d: %d uV, lithium %s: active %s, isolated %s, SEI %s" % (
            k, r.cell_uv[k], _KNOWN[e.known], _percent(e.active_ppm, e.active_sigma_ppm),
            _percent(e.isolated_ppm, e.isolated_sigma_ppm), _percent(e.sei_ppm, e.sei_sigma_ppm),
        ))  # fmt: skip
    print("temperatures: " + ", ".join(["%d.%02d C" % (t // 100, t % 100) for t in r.temp_cdegc]))


def note(bms):
    """Print what has changed, in a line."""
    print("%d s: %s; alarms: %s" % (bms.clock.seconds, _what(bms.outputs), _alarms(bms.outputs)))


def reasons():
    """Why, in plain words: `Outputs.reason` is the number of a line of reasons.txt, from 0; a line: a name, the words.
    The controller knows the numbers only, as `_WHY_NAME = const(number)` where they are used (a test compares).
    """
    with open(__file__[: __file__.rindex("/") + 1] + "reasons.txt") as file:
        return [line[line.index(" ") + 1 :].strip() for line in file]


def _what(out):
    return STATES[out.state] + ", " + reasons()[out.reason]


def _alarms(out):
    rows = [line.split()[1] for line in lines("protection.txt", CRC) if line[:4] == "row "]
    return ", ".join([rows[k] for k in range(len(rows)) if out.alarms >> k & 1]) or "none"


def _on(value):
    return "on" if value else "off"


def _percent(ppm, sigma_ppm):
    """Of nominal capacity, with one sigma."""
    return "%d.%d +- %d.%d %%" % (ppm // 10000, ppm // 1000 % 10, sigma_ppm // 10000, sigma_ppm // 1000 % 10)
