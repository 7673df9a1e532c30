import collections, dataclasses, datetime, decimal, enum, fractions, functools, hashlib, heapq, itertools
import json, math, os, random, re, statistics, struct, sys, textwrap, unicodedata

print("version", sys.version_info[:2], "arguments", sys.argv[1:], "environment", os.environ["GREETING"])

@dataclasses.dataclass(order=True)
class Point:
    x: float
    y: float = 0.0

    def __matmul__(self, other):
        return self.x * other.x + self.y * other.y

print("dataclass", sorted([Point(2), Point(1, 5)]), Point(1, 2) @ Point(3, 4))

class Colour(enum.Flag):
    RED = enum.auto()
    BLUE = enum.auto()

print("enum", Colour.RED | Colour.BLUE, Colour(1))

def primes():
    sieve = {}
    for n in itertools.count(2):
        if n not in sieve:
            yield n
            sieve[n * n] = [n]
        else:
            for p in sieve.pop(n):
                sieve.setdefault(n + p, []).append(p)

print("primes", sum(itertools.takewhile(lambda p: p < 5000, primes())))

@functools.lru_cache(maxsize=None)
def ways(amount, coins=(50, 20, 10, 5, 2, 1)):
    if amount == 0:
        return 1
    if amount < 0 or not coins:
        return 0
    return ways(amount - coins[0], coins) + ways(amount, coins[1:])

print("coins", ways(200))
print("integers", pow(3, 200, 10**9 + 7), math.factorial(60), math.isqrt(10**40), (2**200).bit_length())
print("decimal", decimal.Decimal(1) / decimal.Decimal(7), fractions.Fraction(3, 4) + fractions.Fraction(1, 6))
print("floats", 0.1 + 0.2, math.fsum([0.1] * 10), f"{math.pi:.10f}", 1e-320, float("inf"), round(2.5), math.sin(1e6))
print("strings", "ß".upper(), unicodedata.normalize("NFD", "é").encode(), "🌍".encode("utf-16-le").hex(), textwrap.shorten("a b c " * 9, 20))
print("regex", re.sub(r"(?P<y>\d{4})-(\d\d)", r"\2/\g<y>", "2026-11 1999-01"), re.findall(r"(?<=a)\w+?(?=b)", "axxb ayb"))
print("hash", hashlib.sha256(b"abc").hexdigest()[:16], hashlib.md5(b"").hexdigest()[:8], hashlib.blake2b(b"x").hexdigest()[:8])
print("json", json.dumps({"b": [1, None, True], "a": {"x": 1.5}}, sort_keys=True), json.loads("[1e3, \"\\u20ac\"]"))
print("struct", struct.pack("<IhdB", 1, -2, 3.5, 255).hex(), struct.unpack(">H", b"\x01\x02"))
print("heap", heapq.nsmallest(3, [5, 1, 4, 2]), collections.Counter("mississippi").most_common(2))
print("statistics", statistics.mean([1, 2, 4]), round(statistics.stdev([1, 2, 4, 8]), 9))
print("dates", datetime.date(2024, 2, 29) + datetime.timedelta(366), datetime.datetime.fromisoformat("2026-11-21T10:00:00+02:00").isoformat())
random.seed(42)
print("random", [random.randrange(100) for _ in range(8)], round(random.gauss(0, 1), 9))

match {"kind": "move", "to": [3, 4]}:
    case {"kind": "move", "to": [x, y]} if x < y:
        print("match", x, y)

try:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("wrapped") from error
except ValueError as error:
    print("exceptions", repr(error), repr(error.__cause__))

def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)

print("recursion", deep(200))
try:
    exec("def f(): return f()\nf()")
except RecursionError as error:
    print("recursion limit", error)

import asyncio
async def double(x):
    await asyncio.sleep(0)
    return 2 * x
coroutine = double(21)
try:
    while True:
        coroutine.send(None)
except StopIteration as stop:
    print("coroutine", stop.value)
print("closures", [f(10) for f in [lambda x, k=k: x * k for k in range(4)]])
cycle = []
for i in range(20000):
    node = {"i": i}
    node["self"] = node
    cycle.append(node) if i % 1000 == 0 else None
import gc
gc.collect()
print("garbage", len(cycle))
