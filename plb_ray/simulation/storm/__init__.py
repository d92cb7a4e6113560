"""The storm: migrations by the thousand in virtual time, with faults at random points, and checkers over every run.

It runs the product's own protocol code (coordinator, executor, recovery) and the embedded shard's own decisions (ownership,
operations, delivery); only the network, the disks and the clock are made up. One seed is one run, to the last bit.

    python -m plb_ray.simulation.storm --migrations 100000 --seed 1

    loop, dice       virtual time and chance
    network, nodes   delays, losses, duplicates, partitions; processes that crash, freeze and come back
    memory_shard     a shard's durable state and its decisions; `server` answers calls with it
    stores           journal and mapping
    ports            what a coordinator sees of shards and stores
    producers, consumers
    faults           what goes wrong, and when
    world            one run;  `run`, `report`, `__main__`: many of them
"""
