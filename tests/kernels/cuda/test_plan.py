"""Which way a view takes, on devices of several sizes; and that its parts cover every set exactly."""

from itertools import product

import pytest

from gnref.kernels.cuda import plan as plans

H100 = 132, 231_424, True
A100 = 108, 165_888, False


@pytest.mark.parametrize(
    ("slots", "itemsize", "device", "forward", "backward"),
    [
        ((4096, 1, 8, 1, 196), 4, H100, "registers", "registers"),
        ((8192, 1, 1, 4096, 1), 2, H100, "registers", "registers"),
        ((32, 1, 32, 8, 196), 4, A100, "registers", "registers"),
        ((32, 1, 32, 8, 3136), 4, H100, "cluster", "cluster"),
        ((32, 1, 32, 8, 3136), 4, A100, "shared", "chunks"),
        ((32, 1, 32, 8, 3136), 2, A100, "shared", "shared"),
        ((256, 1, 1, 401_408, 1), 4, H100, "chunks", "chunks"),
        ((1, 1, 2, 4, 3136), 4, H100, "chunks", "chunks"),
        ((1, 128, 64, 1, 3136), 4, H100, "chunks", "chunks"),
        ((1, 100_352, 64, 1, 1), 4, H100, "columns", "columns"),
    ],
)
def test_the_way(slots, itemsize, device, forward, backward):
    limits = plans.Limits(*device)
    assert plans.plan(slots, itemsize, limits).way == forward
    assert plans.plan(slots, itemsize, limits, backward=True).way == backward


def views():
    sizes = (1, 2, 3, 7, 8, 64, 65, 129, 1000)
    return [(3, P, 2, B, S) for P, B, S in product(sizes, sizes, sizes) if P * B * S < 200_000]


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("device", [H100, A100])
def test_every_plan_can_be_launched(itemsize, backward, device):
    limits = plans.Limits(*device)
    for slots in views():
        found = plans.plan(slots, itemsize, limits, backward=backward)
        assert found.grid >= 1
        assert found.shared <= limits.shared_memory
        assert found.threads % plans.WARP == 0
        assert found.threads <= plans.BLOCK
        assert found.team % found.cut.lanes == 0
        if found.way in ("registers", "cluster"):
            room = found.team // found.cut.lanes * found.held * found.cluster
            assert found.cut.items <= room


@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_items_cover_a_set_exactly(itemsize):
    for slots in views():
        cut, (_, P, _, B, S) = plans.cut_of(slots, itemsize), slots
        if cut.columns:
            assert cut.chunks * plans.CHUNK >= P > (cut.chunks - 1) * plans.CHUNK
            continue
        runs = 1 if cut.trailing else P * B
        assert runs * cut.strips * cut.strip == P * B * S
        assert cut.strip * itemsize <= 16
        assert cut.piece <= plans.FEW * cut.lanes
        assert (cut.pieces - 1) * cut.piece < cut.strips or cut.rows > 1
        assert cut.blocks * cut.rows >= P > (cut.blocks - 1) * cut.rows


def test_a_cut_hangs_on_the_set_alone():
    for O, A in product((1, 2, 500), repeat=2):
        assert plans.cut_of((O, 5, A, 3, 64), 4) == plans.cut_of((1, 5, 1, 3, 64), 4)


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("B", [4, 33, 256, 512, 1000, 1024, 4096])
def test_backward_over_last_axes_has_room_for_what_teams_share(B, itemsize):
    found = plans.plan((100_000, 1, 1, B, 1), itemsize, plans.Limits(*H100), backward=True)
    if found.way == "registers":  # else nothing is shared
        teams = found.threads // found.team
        sums = 2 * 8 * B if teams > 1 else 0  # of sets out of range, in float64; bits for them behind
        assert found.shared >= plans.SCRATCH + sums + 4 * teams
    assert found.way == "registers" or B * itemsize > 8192


@pytest.mark.parametrize("examples", [1, 3, 4, 5, 127, 128, 129, 4096, 100_000])
@pytest.mark.parametrize("teams", [1, 8, 64])
@pytest.mark.parametrize("parts", [1, 128, 924])
def test_parts_stay_short_and_have_as_many_sets_for_each_team(examples, teams, parts):
    sets = plans.sets_of_part(examples, parts, teams)
    assert sets % teams == 0
    assert sets <= plans.GATHERED * teams
    assert sets >= min(4 * teams, examples)


@pytest.mark.parametrize("O", [6272, 16_384, 51_200, 100_000])
@pytest.mark.parametrize(("B", "itemsize"), [(128, 4), (1024, 4), (1024, 2), (4096, 2)])
def test_backward_over_last_axes_comes_in_whole_waves(O, B, itemsize):
    found = plans.plan((O, 1, 1, B, 1), itemsize, plans.Limits(*H100), backward=True)
    resident = H100[0] * (plans.REGISTERS // (plans.gathered(found.cut) * found.threads))
    waves = found.grid / resident
    assert waves > 0.9 * -(-found.grid // resident) or found.sets == 4 * found.threads // found.team
