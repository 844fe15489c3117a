"""How a view is cut into work for a GPU: pure arithmetic, so that it is tested where there is no GPU.

A set is cut into items (see items.cu) by its own shape alone, and items are added in one order. So every
way below gives the same bits, and which of them is taken may depend on the device and on the number of sets:

    registers   a set at once, by some lanes of a warp or by one block
    cluster     the same, by several blocks that read each other's shared memory (capability 9.0)
    shared      a set at once, kept in the shared memory of a block
    chunks      items one by one, in several launches: sets that fit nowhere, or too few to fill the device
    columns     channels last: the elements of a set lie apart, and its columns are summed in chunks of rows
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

FEW = 4  # strips of an item for each of its lanes, as in items.cu
WARP = 32
TOGETHER = 1024  # items whose partial results a block keeps, at most
BLOCK = 512  # threads of a block, at most
CHUNK, BESIDE = 256, 8  # rows of an item, and threads that share them, as in columns.cu
GATHERED = 32  # sets whose dweight is added in the precision of x, at most
DIVIDED = 128  # in how many parts dweight is added, about

ITEM, SCRATCH = 32, 256  # bytes of an item's moments, and of a team's own sums
SUMMED = 64  # bytes of a strip's sums for dweight and dbias, at most
REGISTERS = 65_536  # of a multiprocessor
STATIC = 48 * 1024  # bytes of shared memory that a block has without asking

Slots = tuple[int, int, int, int, int]


class Limits(NamedTuple):
    """What a device can do."""

    multiprocessors: int
    shared_memory: int  # bytes that one block may ask for
    clusters: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """How one set is cut into items; see items.cu for the words."""

    strip: int  # neighbours that are moved in one word
    word: int  # bytes of it
    strips: int  # of a run
    rows: int  # of P in an item
    blocks: int  # items along P
    pieces: int  # items along a run
    piece: int  # strips of an item, at most
    items: int
    lanes: int
    trailing: bool
    columns: bool
    chunks: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The way that one pass over a view takes."""

    way: str
    cut: Cut
    team: int  # threads of a set
    threads: int  # of a block
    grid: int  # blocks
    shared: int  # bytes of shared memory for each
    rows: int = 0  # of columns that a block writes at once
    sets: int = 0  # whose dweight a block adds
    held: int = 1  # items of each group of lanes, in the registers of a cluster
    cluster: int = 1  # blocks of a set


def plan(slots: Slots, itemsize: int, limits: Limits, *, backward: bool = False) -> Plan:
    """Choose the way for a view (O, P, A, B, S) of x, none of which is 0."""
    cut = cut_of(slots, itemsize)
    if cut.columns:
        return columns(slots, cut, limits)
    for way in (registers, cluster, shared):
        found = way(slots, cut, limits, backward)
        if found is not None and enough(slots, found, limits):
            return found
    return chunks(slots, cut)


def cut_of(slots: Slots, itemsize: int) -> Cut:
    """Cut a set, by P, B, S and the size of a number alone: its bits do not depend on its neighbours."""
    _, P, A, B, S = slots
    if S == 1 and P > 1:  # strips go across columns, which are added each for itself
        strip, made = gcd(A * B, 16 // itemsize), up(P, CHUNK)
        return Cut(strip, strip * itemsize, up(A * B, strip), 1, 1, 1, 1, made * B, 1, False, True, made)
    trailing = S == 1
    run = B if trailing else S
    strip = gcd(run, 16 // itemsize)
    strips = run // strip
    pieces = up(strips, WARP * FEW)
    rows = min(P, WARP * FEW // strips) if 2 * strips <= WARP * FEW else 1
    blocks = up(P, rows)
    piece = rows * strips if rows > 1 else up(strips, pieces)
    items = pieces if trailing else B * blocks * pieces
    lanes = min(WARP, power_of_two(piece))
    if items * lanes > BLOCK:  # more strips for each lane
        lanes = min(WARP, power_of_two(up(piece, FEW)))
    word = strip * itemsize
    return Cut(strip, word, strips, rows, blocks, pieces, piece, items, lanes, trailing, False, 0)


def registers(slots: Slots, cut: Cut, limits: Limits, backward: bool) -> Plan | None:
    """A set in the registers of some lanes, or of a block."""
    sets, need = slots[0] * slots[2], cut.items * cut.lanes
    gathers = backward and cut.trailing
    if cut.items > TOGETHER or need > (gathering(cut) if gathers else beside(backward)):
        return None
    if need <= WARP:
        team, threads = power_of_two(need), 256
    else:
        team = threads = up(need, WARP) * WARP
    if gathers:
        return trailing_backward(slots, cut, team, threads, limits)
    return Plan("registers", cut, team, threads, up(sets, threads // team), memory_of(cut, threads))


def beside(backward: bool) -> int:
    """Threads whose registers leave room for a second block beside theirs: one loads while the other adds."""
    return 288 if backward else 512


def gathering(cut: Cut) -> int:
    """How many threads of a block there are registers for, where each keeps sums for its elements."""
    return 384 if cut.strip <= 4 else 256


def memory_of(cut: Cut, threads: int, held: int = 1) -> int:
    """Bytes for the partial results of so many threads' items."""
    return SCRATCH + threads // cut.lanes * held * ITEM


def trailing_backward(slots: Slots, cut: Cut, team: int, threads: int, limits: Limits) -> Plan:
    """A block does one set after the other, and keeps the sums for their dweight."""
    teams, resident = threads // team, REGISTERS // (gathered(cut) * threads)
    at_once = max(limits.multiprocessors * resident // slots[2], 1)
    waves = up(slots[0], GATHERED * teams * at_once)
    sets = sets_of_part(slots[0], waves * at_once, teams)
    memory = SCRATCH + max(threads // cut.lanes * ITEM, threads * SUMMED) + up(teams * 4, 16) * 16
    return Plan("registers", cut, team, threads, up(slots[0], sets) * slots[2], memory, sets=sets)


def gathered(cut: Cut) -> int:
    """Registers of a thread that keeps sums for its elements, about."""
    return 136 if cut.strip <= 4 else 216


def sets_of_part(examples: int, parts: int, teams: int = 1) -> int:
    """How many sets' dweight is added at once, for about so many parts of all; the same for each team."""
    return min(max(up(examples, parts * teams), 4), GATHERED) * teams


def cluster(slots: Slots, cut: Cut, limits: Limits, backward: bool) -> Plan | None:
    """A set in the registers of 2, 4 or 8 blocks; a large one in those of 8 with no others beside them."""
    if not limits.clusters or cut.items > TOGETHER or (backward and cut.trailing):
        return None
    two_at_once = [(blocks, 1, beside(backward)) for blocks in (2, 4, 8)]
    alone = 8, 1 if backward else 2, BLOCK
    for blocks, held, most in (*two_at_once, alone):
        inside = up(cut.items, blocks * held) * cut.lanes
        if inside <= most:
            team, sets = up(inside, WARP) * WARP, slots[0] * slots[2]
            memory = memory_of(cut, team, held)
            return Plan("cluster", cut, team, team, sets * blocks, memory, held=held, cluster=blocks)
    return None


def shared(slots: Slots, cut: Cut, limits: Limits, backward: bool) -> Plan | None:
    """A set in the shared memory of a block."""
    kept = cut.piece * cut.word * (2 if backward else 1)
    memory = SCRATCH + up(cut.items * ITEM, 16) * 16 + cut.items * kept
    if cut.items > TOGETHER or memory > limits.shared_memory or (backward and cut.trailing):
        return None
    threads = 288 if backward else 448  # for two blocks, where their memory allows it
    return Plan("shared", cut, threads, threads, slots[0] * slots[2], memory)


def chunks(slots: Slots, cut: Cut) -> Plan:
    """Items one by one; the team is that which adds up a set."""
    threads = 256
    grid = up(slots[0] * slots[2] * cut.items * cut.lanes, threads)
    return Plan("chunks", cut, adding(cut.items), threads, grid, SCRATCH)


def columns(slots: Slots, cut: Cut, limits: Limits) -> Plan:
    """Strips of columns, with as many chunks of rows in a block as there is room for.

    Where nothing is added, chunks are shorter as long as the device has multiprocessors for more of them.
    """
    threads, rows = WARP * BESIDE, CHUNK
    while rows > 2 * BESIDE and blocks_of(slots, cut, rows) < 2 * limits.multiprocessors:
        rows //= 2
    grid = blocks_of(slots, cut, CHUNK)
    return Plan("columns", cut, adding(cut.items), threads, grid, threads * ITEM, rows)


def blocks_of(slots: Slots, cut: Cut, rows: int) -> int:
    """Blocks that go over all columns in chunks of so many rows."""
    lanes = lanes_of(cut)
    return up(cut.strips, lanes) * up(slots[0] * up(slots[1], rows), WARP // lanes)


def lanes_of(cut: Cut) -> int:
    """Threads beside one another, for strips of columns."""
    return min(WARP, power_of_two(cut.strips))


def adding(items: int) -> int:
    """How many threads add up the items of a set: a warp, or a block where there are many."""
    return WARP if items <= TOGETHER else BLOCK


def enough(slots: Slots, found: Plan, limits: Limits) -> bool:
    """Whether so few blocks keep the device busy, or the sets are too small to be shared by several."""
    small = found.cut.items * found.cut.lanes <= 256
    return small or 2 * found.grid >= limits.multiprocessors


def up(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def power_of_two(n: int) -> int:
    """The least power of two that is not less than n."""
    return int(1 << (n - 1).bit_length())
