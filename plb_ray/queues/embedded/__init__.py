"""The embedded queue server: one OS process per shard, gRPC on the outside, SQLite in WAL mode on the inside.

From the inside out:

    blocks      runs of messages, as they are stored, copied and indexed
    ownership   who may do what with an order param: states, table, pure transitions
    sealing     the seal, and the trailing segment that a chained one leaves
    operations  append, ack, import, delete as pure functions `entry -> Effect`
    database    the SQL; `conversion` of older data
    ledger      the writer's newest knowledge, and how effects change it
    writer      the one thread that writes: group commit
    checkpoint  the thread that copies SQLite's log into the database
    reading     the threads that read
    view        what is committed, as the event loop sees it
    delivery    which message is served next, and to whom; `sessions`: which consumers are alive
    tokens      the service rate
    pace        how fast backlogs are copied
    peers       connections to other shards
    herald      what a shard sees to by itself: hand-overs that nobody confirms, ends of segments
    meter       load metrics
    shard       all of it put together
    control, data   the two gRPC services
    process     start, kill and restart such a process from Python

Every operation runs alone in the writer thread, in the order of arrival: that order is the serialisation that the migration
protocol relies on (nothing is appended after SEAL). An operation is a pure function of the order param's entry and
returns its whole effect or raises, so that a refused one leaves nothing behind. The event loop only sees what is on disk,
and pauses, which are in memory alone.

*CPU load.* With a service rate (messages per second) the shard's capacity is 1.0 core of service work, and `use.cpu_cores`
is the share of the last second's service rate that was used. Without one, the use is of the operating system's
counting, and the capacity is 1.0 core too: the shard is one process under one interpreter lock.
"""
