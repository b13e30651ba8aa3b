"""
Attempts counted in Redis, one atomic script a try.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from sft_adapters.redis.client import Client, Script
from sft_core.errors import TooManyAttempts
from sft_core.ports import RateLimiter
from sft_core.values import Rate

# Lua counts in doubles: microseconds since 1970 are exact in them up to the year 2255, and are
# written with all their digits, which Lua's own way of writing numbers would cut to fourteen.
_ADMIT: Final = Script("""
local now, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local comes_back = now
local kept = redis.pcall('GET', KEYS[1])
if kept then
  if type(kept) ~= 'string' or #kept > 16 or not string.match(kept, '^%d+$') then
    return false
  end
  comes_back = math.max(now, tonumber(kept))
end
if comes_back - now > tonumber(ARGV[3]) then
  return comes_back
end
comes_back = comes_back + interval
local left = math.ceil((comes_back - now + tonumber(ARGV[4])) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', comes_back), 'PX', string.format('%.0f', left))
return 'admitted'
""")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_EXACT: Final = 2**53


@attrs.frozen
class RedisRateLimiter:
    """
    Implements `sft_core.ports.RateLimiter`; what Redis cannot answer, the `fallback` decides.

    Each of the two keeps a count of its own, so however often one takes the other's place, no
    more than twice the rate is admitted; each loss of Redis' data adds at most `rate.attempts`.
    Nothing is admitted uncounted.

    A key is gone by itself when it has been at rest for a window, by Redis' own clock; until then
    a `now` that goes back gives nothing back.
    """

    client: Client
    fallback: RateLimiter

    def admit(self, key: str, rate: Rate, *, now: datetime) -> None:
        times = (now - _EPOCH, rate.interval, rate.tolerance, rate.window)
        answer = self.client.ask(_ADMIT, self._key(key), *(time // _MICROSECOND for time in times))
        if answer == b"admitted":
            return
        if isinstance(answer, int) and 0 <= answer <= _LAST_EXACT:
            raise TooManyAttempts(rate.retry_after(_EPOCH + timedelta(microseconds=answer), now))
        self.fallback.admit(key, rate, now=now)

    def forget(self, key: str) -> None:
        self.client.drop(self._key(key))
        self.fallback.forget(key)

    def _key(self, key: str) -> str:
        return self.client.key("r", key)
