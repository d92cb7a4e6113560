"""Packing into a given fleet: machine code that places order params and then removes what overloads.

Arrays, in the units of `optimizer.fleet_parts`: P parts, B shards, D columns, Y shard types, M = 1 or 3 sums
    load (P, D, M), fits (P, Y), group (P,) with members as compressed rows `start`, `member`
    kind (B,) type of each shard, inverse (B, D) = 1 / limit, 0 where there is no limit or nothing may come
    worth (B, D) = limit, 0 likewise: a unit of load is worth the same on large shards and on small ones
    shard_of (P,), use (B, D, M): the state, changed in place: the sums of each shard, of which `used_with` makes its load:
    the sum itself, or with M = 3 what pools (`optimizer.fleet_pool`)

`spread_out` is longest processing time first: each part, largest first, goes where the sum of u^4 grows least. `anneal` then
shifts and swaps parts to bring down
    sum over shards and columns of  worth x (max(0, u - 1) + EVEN x u^8)      (u: utilisation)
whose second term keeps shards even before they are full: slack that is spread over all shards is of more use than an exact
fit of some. Half of the steps start at a shard that overloads, half at any; half take a part from among the largest.

Randomness is xorshift64 in `state` (1,) uint64. What lives here knows nothing of prices, budgets and clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    State = NDArray[np.uint64]

EVEN = 0.02  # weight of evenness against overload; a tenth or ten times as much needs more steps
SAMPLE = 96  # shards looked at for a part that is not among the large ones
REBUILD = 32768  # steps between two listings of what is where


@kernel
def _below(state: State, count: int) -> int:
    """Return a random whole number in [0, count); count < 2^32."""
    word = state[0]
    word ^= word << np.uint64(13)
    word ^= word >> np.uint64(7)
    word ^= word << np.uint64(17)
    state[0] = word
    return np.int64(((word >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))  # type: ignore[return-value]  # int() would stay unsigned in numba


@kernel
def _share(state: State) -> float:
    """Return a random number in [0, 1)."""
    return _below(state, 1 << 30) / (1 << 30)


@kernel
def _clash(part: int, shard: int, leaving: int, group: Whole, start: Whole, member: Whole, shard_of: Whole) -> bool:
    """Return whether another member of the part's group is on the shard; `leaving` does not count."""
    own = group[part]
    if own < 0:
        return False
    for place in range(start[own], start[own + 1]):
        other = member[place]
        if other not in (part, leaving) and shard_of[other] == shard:
            return True
    return False


@kernel
def used_with(shard: int, column: int, comes: int, goes: int, load: Floats, use: Floats) -> float:
    """Return the load of a shard once a part has come and another has gone (-1: none)."""
    total: float = use[shard, column, 0]
    if comes >= 0:
        total += load[comes, column, 0]
    if goes >= 0:
        total -= load[goes, column, 0]
    if load.shape[2] == 1:
        return total
    common, own = use[shard, column, 1], use[shard, column, 2]
    if comes >= 0:
        common += load[comes, column, 1]
        own += load[comes, column, 2]
    if goes >= 0:
        common -= load[goes, column, 1]
        own -= load[goes, column, 2]
    pooled: float = np.sqrt(common * common + max(0.0, own))
    return total + pooled


@kernel
def _growth(part: int, shard: int, load: Floats, inverse: Floats, worth: Floats, use: Floats) -> float:
    """Return by how much the sum of fourth powers of the shard's utilisations grows with the part."""
    total = 0.0
    for column in range(load.shape[1]):
        now = used_with(shard, column, -1, -1, load, use) * inverse[shard, column]
        then = used_with(shard, column, part, -1, load, use) * inverse[shard, column]
        now *= now
        then *= then
        total += worth[shard, column] * (then * then - now * now)
    return total


@kernel
def spread_out(
    order: Whole,
    large: int,
    load: Floats,
    fits: Flags,
    group: Whole,
    start: Whole,
    member: Whole,
    kind: Whole,
    inverse: Floats,
    worth: Floats,
    state: State,
    shard_of: Whole,
    use: Floats,
) -> int:
    """Place every part of `order` that is nowhere (-1), the first `large` with a look at every shard.

    Returns how many parts found no shard that their type and group allow; those stay nowhere.
    """
    shards = use.shape[0]
    lost = 0
    for rank in range(order.size):
        part = order[rank]
        if shard_of[part] >= 0:
            continue
        every = rank < large or shards <= SAMPLE
        tries = shards if every else SAMPLE
        best, least = -1, np.inf
        while best < 0:
            for attempt in range(tries):
                shard = attempt if every else _below(state, shards)
                if not fits[part, kind[shard]]:
                    continue
                growth = _growth(part, shard, load, inverse, worth, use)
                if growth < least and not _clash(part, shard, -1, group, start, member, shard_of):
                    best, least = shard, growth
            if every:
                break
            every, tries = True, shards
        if best < 0:
            lost += 1
            continue
        shard_of[part] = best
        use[best] += load[part]
    return lost


@kernel
def first_fit(
    order: Whole,
    window: int,
    load: Floats,
    fits: Flags,
    group: Whole,
    start: Whole,
    member: Whole,
    limit: Floats,
    preferred: Whole,
    most: Whole,
    kind: Whole,
    shard_of: Whole,
    use: Floats,
) -> int:
    """Place parts, largest first, on the first of the last `window` opened shards with room; else open one.

    The new shard is of the first type of `preferred` (Y,) that the part fits and `most` (Y,) still allows. kind (B,) and
    use (B, D, M) are filled from the front. Returns the number of shards opened, or -1 if some part found no place.
    """
    opened = 0
    left, refused = most.copy(), np.zeros(kind.size, np.int64)
    for rank in range(order.size):
        part = order[rank]
        home = -1
        for shard in range(max(0, opened - window), opened):
            scarce = refused[shard]  # a full shard says no at its first look
            room = fits[part, kind[shard]] and used_with(shard, scarce, part, -1, load, use) <= limit[kind[shard], scarce]
            for column in range(load.shape[1]):
                if not room:
                    break
                room = used_with(shard, column, part, -1, load, use) <= limit[kind[shard], column]
                if not room:
                    refused[shard] = column
            if room and not _clash(part, shard, -1, group, start, member, shard_of):
                home = shard
                break
        if home < 0:
            for choice in preferred:
                if fits[part, choice] and left[choice] > 0:
                    left[choice] -= 1
                    kind[opened] = choice
                    home = opened
                    opened += 1
                    break
        if home < 0:
            return -1
        shard_of[part] = home
        use[home] += load[part]
    return opened


@kernel
def _refresh(load: Floats, shard_of: Whole, use: Floats, begin: Whole, listed: Whole) -> None:
    """Recompute `use` and list the parts of each shard as compressed rows `begin` (B + 1,), `listed` (P,)."""
    use[:] = 0.0
    begin[:] = 0
    for part in range(shard_of.size):
        begin[shard_of[part] + 1] += 1
        use[shard_of[part]] += load[part]
    for shard in range(use.shape[0]):
        begin[shard + 1] += begin[shard]
    cursor = begin.copy()
    for part in range(shard_of.size):
        listed[cursor[shard_of[part]]] = part
        cursor[shard_of[part]] += 1


@kernel
def _crowded(load: Floats, inverse: Floats, use: Floats, crowd: Whole) -> int:
    """Put the shards that overload in front of `crowd` (B,) and return how many there are."""
    count = 0
    for shard in range(use.shape[0]):
        for column in range(use.shape[1]):
            if used_with(shard, column, -1, -1, load, use) * inverse[shard, column] > 1.0:
                crowd[count] = shard
                count += 1
                break
    return count


@kernel
def _penalty(utilisation: float) -> float:
    square = utilisation * utilisation
    fourth = square * square
    over = utilisation - 1.0
    return max(0.0, over) + EVEN * fourth * fourth


@kernel
def _change(
    part: int, other: int, source: int, target: int, load: Floats, inverse: Floats, worth: Floats, use: Floats
) -> float:
    """Return the change of the penalty when the part goes to the target and the other (-1: none) comes back."""
    total = 0.0
    for column in range(load.shape[1]):
        here, there = inverse[source, column], inverse[target, column]
        before = _penalty(used_with(source, column, -1, -1, load, use) * here)
        total += worth[source, column] * (_penalty(used_with(source, column, other, part, load, use) * here) - before)
        before = _penalty(used_with(target, column, -1, -1, load, use) * there)
        total += worth[target, column] * (_penalty(used_with(target, column, part, other, load, use) * there) - before)
    return total


@kernel
def anneal(
    steps: int,
    hot: float,
    cold: float,
    large: Whole,
    load: Floats,
    fits: Flags,
    group: Whole,
    start: Whole,
    member: Whole,
    kind: Whole,
    inverse: Floats,
    worth: Floats,
    state: State,
    shard_of: Whole,
    use: Floats,
) -> int:
    """Shift and swap parts for so many steps, or until nothing overloads; `large` (L,) are the largest parts.

    The temperature falls from `hot` to `cold`. Returns the steps taken, negated if something still overloads.
    """
    parts, shards = load.shape[0], use.shape[0]
    begin, listed, crowd = np.zeros(shards + 1, np.int64), np.zeros(parts, np.int64), np.zeros(shards, np.int64)
    crowded, heat = 0, hot
    for step in range(steps):
        if step % REBUILD == 0:
            _refresh(load, shard_of, use, begin, listed)
            crowded = _crowded(load, inverse, use, crowd)
            if crowded == 0:
                return step
            heat = hot * (cold / hot) ** (step / steps)
        draw = _below(state, 8)
        part = large[_below(state, large.size)] if draw & 1 else _below(state, parts)
        if draw & 2:
            shard = crowd[_below(state, crowded)]
            if begin[shard] < begin[shard + 1]:
                part = listed[begin[shard] + _below(state, begin[shard + 1] - begin[shard])]
        source, other = shard_of[part], -1
        if draw & 4:
            target = _below(state, shards)
        else:
            other = large[_below(state, large.size)] if draw & 1 else _below(state, parts)
            target = shard_of[other]
        if target == source or not fits[part, kind[target]] or (other >= 0 and not fits[other, kind[source]]):
            continue
        change = _change(part, other, source, target, load, inverse, worth, use)
        if change > 0.0 and (change > 20.0 * heat or _share(state) >= np.exp(-change / heat)):
            continue
        if _clash(part, target, other, group, start, member, shard_of):
            continue
        if other >= 0 and _clash(other, source, part, group, start, member, shard_of):
            continue
        shard_of[part] = target
        use[source] -= load[part]
        use[target] += load[part]
        if other >= 0:
            shard_of[other] = source
            use[source] += load[other]
            use[target] -= load[other]
    _refresh(load, shard_of, use, begin, listed)
    return -steps if _crowded(load, inverse, use, crowd) else steps
