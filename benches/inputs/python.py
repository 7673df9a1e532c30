# What scripts do: objects, dictionaries, strings, regular expressions, sorting, numbers.
import json
import re


class Body:
    def __init__(self, i):
        self.x, self.y, self.vx, self.vy, self.mass = float(i), 3.0 - i, 0.0, i * 0.01, 1.0 + i


def bodies(steps):
    everything = [Body(i) for i in range(4)]
    for _ in range(steps):
        for a in everything:
            for b in everything:
                if a is not b:
                    dx, dy = b.x - a.x, b.y - a.y
                    square = dx * dx + dy * dy + 0.1
                    pull = 0.001 * b.mass / square**1.5
                    a.vx += dx * pull
                    a.vy += dy * pull
        for a in everything:
            a.x += a.vx * 0.001
            a.y += a.vy * 0.001
    return " ".join(f"{a.x:.6f}" for a in everything)


def words(count):
    state, parts, counts = 7, [], {}
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        parts.append(f"{state >> 20:x}")
    text = " ".join(parts)
    for word in re.split(r"[ ,]+", text):
        counts[word] = counts.get(word, 0) + 1
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    return top, len(re.findall(r"\b[a-c]\w*[0-9]\b", text)), sum(int(n, 16) for n in parts)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(bodies(2500))
print(words(50000))
print(fib(23))
print(len(json.dumps(json.loads(json.dumps([{"i": i, "s": f"n{i}"} for i in range(10000)])))))
print(2**20000 % 1000003, sum(i * i for i in range(300000)))
