import math

from plb_ray.queues.embedded.tokens import BURST_S, TokenBucket


def test_rate_is_never_exceeded():
    """Taking all there is every millisecond yields the rate plus one burst at most, and nearly the rate."""
    bucket, taken = TokenBucket(200.0, 0.0), 0
    for step in range(5000):
        count = int(bucket.available(step / 1000))
        bucket.take(count, step / 1000)
        taken += count
    assert 200 * 4.9 <= taken <= 200 * (5 + BURST_S)


def test_unused_time_is_kept_for_one_burst_only():
    """After an idle hour there are no more tokens than BURST_S is worth."""
    assert TokenBucket(200.0, 0.0).available(3600.0) == 10


def test_slow_shards_still_deliver():
    """A rate whose burst is below one message still yields one message per period."""
    bucket = TokenBucket(2.0, 0.0)
    assert bucket.available(0.0) == 1
    bucket.take(1, 0.0)
    assert bucket.available(0.4) == 0
    assert bucket.available(0.5) == 1


def test_no_rate_means_no_limit():
    """Rate 0 never makes anybody wait."""
    bucket = TokenBucket(0.0, 0.0)
    assert bucket.available(0.0) == math.inf
    assert bucket.wait_s(100, 0.0) == 0


def test_wait_is_until_there_is_something_worth_it():
    """After the wait that an empty bucket names, tokens are there: one at least, a small batch if more are wanted."""
    bucket = TokenBucket(200.0, 0.0)
    bucket.take(10, 0.0)
    assert bucket.available(bucket.wait_s(1, 0.0)) == 1
    assert bucket.available(bucket.wait_s(100, 0.0)) == 4
