"""A string: which cell decides, and its estimates, one cell a tick."""

from tests.firmware.rigging import World


def test_the_lowest_cell_of_a_string_is_the_record_that_decides():
    world = World(share=0.5, cell_count=3)
    heard = []
    world.bms.tracker.record = lambda h, cell, complete: heard.append(cell)
    for uv in ([3_700_000, 3_600_000, 3_650_000], [3_500_000, 3_600_000, 3_400_000], [3_500_000] * 3):
        world.bms.readings.cell_uv[:] = type(world.bms.readings.cell_uv)("i", uv)
        world.bms._schedule()
    assert heard == [1, 2, 0]


class Watched(World):
    """A string of 16 that tells, of every tick, which cells' estimates were updated; and of every decision, how many
    half-cycles each of the estimates it saw has had. `hasten`: during updates the cut-off is reached.
    """

    def __init__(self, hasten=False, **changes):
        super().__init__(share=0.3, cell_count=16, **changes)
        self.updates, self.decided, self.hasten = [], [], hasten
        self.had = [0] * 16
        for k, inventory in enumerate(self.bms.inventories):
            inventory.half_cycle = self._heard(k, inventory.half_cycle)
        self.bms.scheduler.after_half_cycle = lambda *_: self.decided.append(list(self.had))
        self.alter = self._touch

    def _heard(self, k, half_cycle):
        def update(h):
            self.updates[-1].append(k)
            self.had[k] += 1
            half_cycle(h)

        return update

    def _touch(self, r):
        if self.hasten and 0 < sum(self.had) % 16 < 4:
            for k in range(16):
                r.cell_uv[k] = self.p.min_uv - 1000

    def tick(self, ms, count):
        if hasattr(self, "updates"):
            self.updates.append([])
        return super().tick(ms, count)


def test_a_tick_updates_one_cell_at_most_and_all_in_order():
    world = Watched()
    world.run(600, -100).run(600, 300).run(600, -300)
    done = [cells for cells in world.updates if cells]
    assert done == [[k % 16] for k in range(32)]
    first = world.updates.index([0])
    assert world.updates[first : first + 16] == [[k] for k in range(16)]  # in one go
    assert world.longest_ms > 1000 and world.bms.tracker.ready == 0


def test_a_decision_never_sees_estimates_of_which_some_are_new():
    """The discharge is over in the midst of the updates that its beginning brought: the decision waits, and comes."""
    world = Watched(hasten=True)
    world.run(600, 300).run(300, -300)
    assert world.had == [1] * 16 and world.bms.tracker.empty
    assert all(len(set(had)) == 1 for had in world.decided)
    assert world.decided[-1] == [1] * 16


def test_what_waits_for_the_other_cells_is_decided_at_once_when_they_are_done():
    world = Watched(hasten=True)
    world.run(600, 300)
    while not world.had[0]:
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    ticks = len(world.updates)
    while [1] * 16 not in world.decided:
        assert world.outputs.next_tick_ms == 100
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    assert len(world.updates) - ticks == 16  # 15 cells more, and the decision


def test_a_new_cell_is_not_told_of_the_half_cycle_before_it():
    world = Watched()
    world.run(600, 300)
    while not world.had[0]:
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    world.bms.commission()
    world.run(5, -300)
    assert world.had[1] == 0 and world.bms.tracker.ready == 0
    world.run(600, -300)
    world.run(600, 300)
    assert [inventory.kept[0] for inventory in world.bms.inventories] == [0] * 16
