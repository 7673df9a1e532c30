# Conway's game of life: a glider walks over a torus.
size, steps = 12, 24
cells = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)}
for _ in range(steps):
    counts = {}
    for x, y in cells:
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                if dx or dy:
                    key = ((x + dx) % size, (y + dy) % size)
                    counts[key] = counts.get(key, 0) + 1
    cells = {cell for cell, n in counts.items() if n == 3 or n == 2 and cell in cells}
for y in range(size):
    print("".join("#" if (x, y) in cells else "." for x in range(size)))
