"""`relith-hil monitor PORT`: one board, live in the terminal; `--once` prints it once, as plain text.

State, cell, inventory with its uncertainty, the next decision and its reason, faults, and what changed last. It only
says hello and listens; a board goes on as if nobody looked.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field

from relith.scheduler import DECISIONS

from hil.codec import Client, LinkError, Message, OtherFirmware, number
from hil.serialport import BAUD, SerialPort
from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.report.page import doubted
from host_sim.tables import REASONS, STATES, TABLE

KNOWN = ("unknown", "inferred", "measured")
LIMITED = ("nothing yet", "the anode", "the cathode")
STORES = ("cathode", "active", "isolated", "sei")
SILENT_S = 3.0  # telemetry comes every second, unless a rest lets the board sleep longer
BAR = 24
HOME, CLEAR_LINE, CLEAR_REST, HIDE, SHOW = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?25l\x1b[?7l", "\x1b[?25h\x1b[?7h"
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31;1m", "\x1b[0m"


def told(names, index: int) -> str:
    """The name at `index`, or the number when this program knows none."""
    return names[index] if 0 <= index < len(names) else f"no. {index}"


def alarms(bits: int) -> list[str]:
    """The rows of the diagnostic table whose bits are set."""
    return [told([row[0] for row in TABLE], k) for k in range(30) if bits >> k & 1]


def bar(share: float) -> str:
    """A bar of `share` of its whole width, 0 to 1."""
    full = round(max(0.0, min(1.0, share)) * BAR)
    return "█" * full + "·" * (BAR - full)


@dataclass
class View:
    """What has been heard of a board, and how it is shown."""

    port: str
    welcome: dict
    readings: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    ledger: dict = field(default_factory=dict)
    estimates: dict[int, dict] = field(default_factory=dict)
    outlooks: dict[int, dict] = field(default_factory=dict)
    events: deque = field(default_factory=lambda: deque(maxlen=6))
    refused: dict = field(default_factory=dict)
    heard_s: float = 0.0
    lost: int = 0

    def take(self, message: Message, now_s: float) -> None:
        """One message of the board, heard at `now_s`."""
        self.heard_s = now_s
        if message.name == "readings":
            self.readings = message.values
        elif message.name == "ledger":
            self.ledger = message.values
        elif message.name == "estimate":
            self.estimates[message["cell_index"]] = message.values
        elif message.name == "outlook":
            self.outlooks[message["cell_index"]] = message.values
        elif message.name == "refused":
            self.refused = message.values
        elif message.name == "outputs":
            self._note(message.values, now_s)
            self.outputs = message.values

    def _note(self, new: dict, now_s: float) -> None:
        old = self.outputs
        said = []
        if old and old["state"] != new["state"]:
            said.append(f"{told(STATES, old['state'])} → {told(STATES, new['state'])}")
        if old and old["alarms"] != new["alarms"]:
            said += [f"alarm {name}" for name in alarms(new["alarms"] & ~old["alarms"])]
            said += [f"{name} is over" for name in alarms(old["alarms"] & ~new["alarms"])]
        if old and (old["decision"], old["reason"]) != (new["decision"], new["reason"]):
            said.append(f"{told(DECISIONS, new['decision'])}: {told(REASONS, new['reason'])}")
        self.events.extend((now_s, sentence) for sentence in said)

    def is_whole(self) -> bool:
        """Whether every part has been heard at least once."""
        return bool(self.readings and self.outputs and self.ledger and len(self.estimates) >= self.welcome["cells"])

    # ---- as text
    def lines(self, now_s: float, style: bool = False) -> list[str]:
        """The page, top to bottom. `style`: with bold and red."""
        strong, bad, plain = (BOLD, RED, PLAIN) if style else ("", "", "")
        w = self.welcome
        lines = [
            f"{strong}Relith {number(w['version'])}{plain} on {self.port} · profile {w['profile_crc30']:08x}"
            f" · boot {w['boots']} · {w['cells']} cell{'s' * (w['cells'] > 1)}{' · RIG BUILD' * w['rig']}",
            "",
        ]
        if self.heard_s and now_s - self.heard_s > SILENT_S:
            lines += [f"{bad}nothing heard for {now_s - self.heard_s:.0f} s{plain}", ""]
        if self.outputs and self.readings:
            lines += self._cell(strong, plain)
        if self.ledger:
            lines += self._charge()
        for cell in sorted(self.estimates):
            lines += self._inventory(self.estimates[cell], strong, plain)
        if self.outputs:
            lines += self._decision(strong, bad, plain)
        lines += [f"{now_s - then_s:6.0f} s ago  {sentence}" for then_s, sentence in reversed(self.events)]
        if w["rig"] and not self.readings:
            lines += ["it waits: a rig build has no sensors, and ticks only while a rig feeds it", ""]
        refused = f" · refused {sum(self.refused['counts'][1:])}" if self.refused else ""
        lines += ["", f"link: frames lost {self.lost}{refused}"]
        return lines

    def _amperes(self, count: int) -> str:
        value = count * self.welcome["current_lsb_na"] * 1e-9
        return f"{value:+.4g} A" if abs(value) >= 0.1 or value == 0 else f"{value * 1e3:+.4g} mA"

    def _cell(self, strong: str, plain: str) -> list[str]:
        r, o = self.readings, self.outputs
        current = self._amperes(r["current_count"]) if r["current_ok"] else "not read"
        volts = "  ".join(f"{uv * 1e-6:.4f} V" for uv in r["cell_uv"]) if r["cell_ok"] else "not read"
        degrees = "  ".join(f"{c / 100:.1f} °C" for c in r["temp_cdegc"]) if r["temp_ok"] else "not read"
        switches = (("charge", "charge_enable"), ("discharge", "discharge_enable"), ("pulse", "pulse_count"))
        state = f"state      {strong}{told(STATES, o['state'])}{plain}"
        return [
            f"{state}{'   STOPPED BY THE OPERATOR' if r['stop'] else ''}",
            f"current    {current}",
            f"allowed    {self._allowed()}",
            f"cells      {volts}",
            f"warmth     {degrees}",
            "switches   " + "   ".join(f"{name} {'ON' if o[key] else 'off'}" for name, key in switches),
        ]

    def _allowed(self) -> str:
        """Who may draw or feed, and how much. In a pulse the discharge switch is on for the sink, not a load."""
        o = self.outputs
        charge, discharge = o["charge_limit_count"], o["discharge_limit_count"]
        users = (f"charger {self._amperes(charge)}" if charge else "no charger",
                 f"load {self._amperes(-discharge)}" if discharge else "no load")  # fmt: skip
        if not o["pulse_count"]:
            return ", ".join(users)
        pulse = f"only the pulse sink: {self._amperes(-o['pulse_count'])}, {o['pulse_ms'] / 1000:.0f} s more"
        return ", ".join((*users, pulse))

    def _charge(self) -> list[str]:
        """The ledger: mAh in and out since commissioning, and what may have passed unseen."""
        mah = self.welcome["nominal_capacity_uah"] * 1e-9  # per ppm
        charged, discharged, gaps = (self.ledger[name] * mah for name in ("charged", "discharged", "gaps"))
        unseen = f"   at most {gaps:.2f} unseen" if gaps else ""
        return [f"ledger     {charged:.2f} mAh in, {discharged:.2f} out{unseen}", ""]

    def _inventory(self, e: dict, strong: str, plain: str) -> list[str]:
        """One cell's lithium: mAh with 95 % interval, and as a share of all that is known of."""
        known = told(KNOWN, e["known"])
        head = f"{strong}lithium of cell {e['cell_index'] + 1}{plain}: {known}"
        if e["known"] == 0:
            return [head + "; a full charge and a full discharge, each with a rest, would tell", ""]
        mah = self.welcome["nominal_capacity_uah"] * 1e-9  # per ppm
        whole = max(1, sum(e[f"{store}_ppm"] for store in STORES))
        lines = [f"{head} · life stage {e['stage']} · the last discharge was ended by {told(LIMITED, e['limited_by'])}"]
        for store in STORES:
            value = e[f"{store}_ppm"]
            shown, _, doubt = doubted(value * mah, 1.96 * e[f"{store}_sigma_ppm"] * mah).partition(" ")
            text = f"{shown:>9} {doubt} mAh"
            lines.append(f"  {store.upper() if store == 'sei' else store:9}{text:26}{bar(value / whole)}")
        capacity = f"{doubted(e['capacity_ppm'] * mah, 1.96 * e['capacity_sigma_ppm'] * mah)} mAh"
        efficiency = [
            f"{n} {e[k] / 1e4:.2f} %" for n, k in (("CE_cell", "ce_cell_ppm"), ("CE_Li", "ce_li_ppm")) if e[k]
        ]
        lines.append("  " + " · ".join([f"capacity {capacity}", *efficiency]))
        if e["cell_index"] in self.outlooks:
            lines += self._outlook(self.outlooks[e["cell_index"]], max(1, e["capacity_ppm"]))
        return [*lines, ""]

    def _outlook(self, o: dict, capacity_ppm: int) -> list[str]:
        """What a user asks, with 95 % intervals; charge counted up to now, the rest of the last half-cycle's end."""

        def with_doubt(name: str, unit: str, scale: float) -> str:
            sigma = o[f"{name}_sigma_{unit}" if unit else f"{name}_sigma"]
            value = o[f"{name}_{unit}" if unit else name] * scale
            return doubted(value, 1.96 * sigma * scale) if sigma else f"{value:.4g}"

        soc = o["soc_ppm"] + self.ledger.get("under_way_ppm", 0) * 1_000_000 // capacity_ppm
        now = f"state of charge {doubted(min(max(soc, 0), 1_000_000) / 1e4, 1.96 * o['soc_sigma_ppm'] / 1e4)} %"
        health = f"of health {with_doubt('soh', 'ppm', 1e-4)} %"
        ends = f"{with_doubt('cycles_to_end', '', 1)} full cycles to 80 %" if o["cycles_to_end"] else ""
        return [
            "  " + " · ".join(part for part in (now, health, ends) if part),
            f"  at its last turn: energy {with_doubt('energy', 'mwh', 1e-3)} Wh"
            f" · charge up to {with_doubt('charge_limit', 'permille', 1e-3)} C"
            f" · discharge up to {with_doubt('discharge_limit', 'permille', 1e-3)} C",
        ]

    def _decision(self, strong: str, bad: str, plain: str) -> list[str]:
        o = self.outputs
        faults = alarms(o["alarms"])
        return [
            f"next       {strong}{told(DECISIONS, o['decision'])}{plain}: {told(REASONS, o['reason'])}",
            f"faults     {bad}{', '.join(faults)}{plain}" if faults else "faults     none",
            "",
        ]


def connect(client: Client, port: str) -> View:
    """Say hello. Raises InputError naming the port when nothing there answers as a board."""
    try:
        view = View(port, client.hello())
    except OtherFirmware as error:
        raise InputError(f"PORT {port}: {error}") from None
    except LinkError as error:
        raise InputError(f"PORT {port}: {error}; is it a Relith board?") from None
    view.outputs = client.latest.get("outputs", {})  # what came before the welcome
    return view


def once(client: Client, port: str, within_s: float) -> int:
    """Listen until every part has been heard, then print it."""
    view, ends = connect(client, port), time.monotonic() + within_s
    while not view.is_whole():
        for message in client.pump():
            view.take(message, time.monotonic())
        if time.monotonic() > ends:
            why = "; a rig build ticks only while a rig feeds it" if view.welcome["rig"] else ""
            raise InputError(
                f"PORT {port}: the board said hello, but sent no full telemetry within {within_s:g} s{why}"
            )
    view.lost = client.lost
    print("\n".join(view.lines(view.heard_s)))
    return 0


def live(client: Client, port: str, out=sys.stdout) -> int:
    """Draw again and again, until Ctrl-C. A board that restarts is greeted anew."""
    view, drawn_s = connect(client, port), 0.0
    out.write(HIDE + HOME + CLEAR_REST)
    try:
        while True:
            for message in client.pump():
                if message.session != client.session:
                    fresh = connect(client, port)
                    view.welcome, view.estimates = fresh.welcome, {}
                    view.events.append((time.monotonic(), "the board has restarted"))
                view.take(message, time.monotonic())
            view.lost = client.lost
            now_s = time.monotonic()
            if now_s - drawn_s >= 0.2:
                drawn_s = now_s
                out.write(HOME + "".join(f"{line}{CLEAR_LINE}\r\n" for line in view.lines(now_s, True)) + CLEAR_REST)
                out.flush()
    except KeyboardInterrupt:
        return 0
    finally:
        out.write(SHOW + "\n")


def main(argv: list[str]) -> int:
    """`relith-hil monitor PORT`."""
    parser = Parser(prog="relith-hil monitor", description="Watch a board live in the terminal.")
    parser.add_argument("port", help="serial port or pseudo-terminal of the board's link")
    parser.add_argument("--baud", type=int, default=BAUD, help="of a real serial line")
    parser.add_argument("--once", action="store_true", help="print once and end")
    parser.add_argument(
        "--within", type=float, default=30.0, metavar="SECONDS", help="how long --once waits for telemetry"
    )
    arguments = parser.parse_args(argv)
    with SerialPort(arguments.port, arguments.baud) as port:
        client = Client(port)
        if arguments.once:
            return once(client, arguments.port, arguments.within)
        return live(client, arguments.port)
