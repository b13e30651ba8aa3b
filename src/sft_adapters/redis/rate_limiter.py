"""
A rate limiter in Redis: one atomic script for each attempt.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from sft_adapters.redis.client import Client, Script
from sft_core.errors import TooManyAttempts
from sft_core.ports import RateLimiter
from sft_core.values import Rate

# Lua numbers are doubles, in which microseconds since 1970 are exact up to the year 2255. They are
# formatted with all digits, because Lua's default format keeps only fourteen.
_ACQUIRE: Final = Script("""
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
    Implements `sft_core.ports.RateLimiter`; the `fallback` decides when Redis is unavailable.

    Redis and the fallback count separately. However often they alternate, at most twice the rate is
    allowed, and each loss of Redis' data adds at most `rate.attempts`. Every allowed attempt is counted.

    A key expires, by Redis' own clock, one window after all its attempts are restored; until then a
    `now` that was set back restores nothing.
    """

    client: Client
    fallback: RateLimiter

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        times = (now - _EPOCH, rate.interval, rate.tolerance, rate.window)
        reply = self.client.run(_ACQUIRE, self._key(key), *(time // _MICROSECOND for time in times))
        if reply == b"admitted":
            return
        if isinstance(reply, int) and 0 <= reply <= _LAST_EXACT:
            raise TooManyAttempts(rate.retry_after(_EPOCH + timedelta(microseconds=reply), now))
        self.fallback.acquire(key, rate, now=now)

    def reset(self, key: str) -> None:
        self.client.delete(self._key(key))
        self.fallback.reset(key)

    def _key(self, key: str) -> str:
        return self.client.key("r", key)
