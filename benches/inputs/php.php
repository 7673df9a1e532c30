<?php
// What scripts do: objects, arrays, strings, regular expressions, sorting, numbers.

class Body {
    public function __construct(public float $x, public float $y, public float $vx, public float $vy, public float $mass) {}
}

function bodies(int $steps): string {
    $all = [];
    for ($i = 0; $i < 4; $i++) $all[] = new Body($i, 3 - $i, 0, $i * 0.01, 1 + $i);
    for ($step = 0; $step < $steps; $step++) {
        foreach ($all as $a) {
            foreach ($all as $b) {
                if ($a === $b) continue;
                $dx = $b->x - $a->x;
                $dy = $b->y - $a->y;
                $square = $dx * $dx + $dy * $dy + 0.1;
                $pull = 0.001 * $b->mass / ($square * sqrt($square));
                $a->vx += $dx * $pull;
                $a->vy += $dy * $pull;
            }
        }
        foreach ($all as $a) {
            $a->x += $a->vx * 0.001;
            $a->y += $a->vy * 0.001;
        }
    }
    return implode(" ", array_map(fn($a) => sprintf("%.6f", $a->x), $all));
}

function words(int $count): string {
    $state = 7;
    $parts = $counts = [];
    for ($i = 0; $i < $count; $i++) {
        $state = ($state * 171 + 11213) % 53125;
        $parts[] = dechex($state % 4096);
    }
    $text = implode(" ", $parts);
    foreach (preg_split('/[ ,]+/', $text) as $word) $counts["w$word"] = ($counts["w$word"] ?? 0) + 1;
    ksort($counts);
    return count($counts) . " " . max($counts) . " " . preg_match_all('/\b[a-c]\w*[0-9]\b/', $text);
}

function fib(int $n): int {
    return $n < 2 ? $n : fib($n - 1) + fib($n - 2);
}

echo bodies(8000), "\n", words(100000), "\n", fib(26), "\n";
$list = range(1, 100000);
usort($list, fn($a, $b) => $a * 7919 % 100003 <=> $b * 7919 % 100003);
echo $list[500], " ", md5(str_repeat("bench", 200000)), "\n";
