"""The conformance kit: does an implementation of the contract (rpc/v1/queue.proto) keep its promises?

    outcome    what a check says: passed, failed, skipped, each with its reason
    status     the bare gRPC status of a refusal, and what a check may demand of it
    shard      one shard's calls, over bare stubs
    queue      QueueControl's calls, over bare stubs
    targets    connecting, and finding out which services a target offers
    case       what one check works with: its own order params, and how they are cleaned up
    flows      the sequences of calls that many checks share
    traffic    producers and a consumer that find their way by redirects, under the order checker
    registry   a check and the table it stands in
    checks     the checks, a module per group
    catalogue  all tables, in the order in which they run
    runner     runs checks one after the other and collects the report

It drives targets from outside and knows nothing of how they are made: no check reads a database, a file or a log. Every
refusal is judged by its bare status, since that is what clients in other languages see.
"""
