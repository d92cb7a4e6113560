"""Queue systems: the embedded shard, the coordinator that fronts shards as one queue, and the producer/consumer client."""
