<?php
declare(strict_types=1);

echo "version ", PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION, " environment ", getenv("GREETING"), "\n";

interface Shape { public function area(): float; }
abstract class Named implements Shape, JsonSerializable {
    private static int $count = 0;
    public function __construct(protected readonly string $name) { self::$count++; }
    public static function count(): int { return self::$count; }
    public function jsonSerialize(): array { return ["name" => $this->name, "area" => round($this->area(), 3)]; }
}
final class Circle extends Named {
    public function __construct(private float $r) { parent::__construct("circle"); }
    public function area(): float { return M_PI * $this->r ** 2; }
}
echo "classes ", json_encode([new Circle(1.0), new Circle(2.5)]), " ", Named::count(), "\n";

enum Suit: string { case Hearts = "H"; case Spades = "S"; public function label(): string { return ucfirst(strtolower($this->name)); } }
echo "enum ", Suit::from("S")->label(), " ", Suit::tryFrom("X")?->label() ?? "none", "\n";

function primes(int $limit): Generator {
    $composite = [];
    for ($n = 2; $n < $limit; $n++) {
        if (isset($composite[$n])) continue;
        yield $n;
        for ($m = $n * $n; $m < $limit; $m += $n) $composite[$m] = true;
    }
}
echo "primes ", array_sum(iterator_to_array(primes(5000), false)), "\n";

$words = explode(" ", "the quick brown fox jumps over the lazy dog the end");
$counts = array_count_values($words);
arsort($counts);
echo "words ", key($counts), " ", current($counts), " ", implode(",", array_slice(array_unique($words), 0, 4)), "\n";
usort($words, fn(string $a, string $b): int => [strlen($a), $a] <=> [strlen($b), $b]);
echo "sort ", implode(" ", $words), "\n";
echo "regex ", preg_replace_callback('/(\d+)-(\d+)/', fn(array $m): string => (string) ($m[1] * $m[2]), "6-7 and 8-9"), "\n";
echo "match ", match (true) { PHP_INT_SIZE === 4 => "32 bit", default => "64 bit" }, " ", PHP_INT_MAX + 1, "\n";
printf("format %05d %x %.3e %'*10s|%-6s|%b\n", 42, 255, 12345.678, "right", "left", 10);
echo "float ", 0.1 + 0.2, " ", intdiv(-7, 2), " ", -7 % 3, " ", round(2.5), " ", fmod(10, 3.3), "\n";
echo "strings ", ucwords("hello world"), " ", str_pad("7", 3, "0", STR_PAD_LEFT), " ", strrev("abc"), " ", similar_text("World", "Word"), " ", levenshtein("kitten", "sitting"), "\n";
echo "hash ", md5("abc"), " ", substr(hash("sha256", "abc"), 0, 16), " ", crc32("abc"), " ", base64_encode("\0\xff"), "\n";
echo "date ", gmdate("Y-m-d H:i:s", 1000000000), "\n";
try {
    (fn(int $x): int => $x)("no");
} catch (TypeError $error) {
    echo "caught ", get_class($error), "\n";
} finally {
    echo "finally\n";
}
$compose = fn(callable ...$f) => fn($x) => array_reduce($f, fn($acc, $g) => $g($acc), $x);
echo "compose ", $compose(fn($x) => $x + 1, fn($x) => $x * 2)(5), "\n";
file_put_contents("/data.txt", serialize(["a" => 1, "b" => [true, null, 1.5]]));
echo "files ", filesize("/data.txt"), " ", json_encode(unserialize(file_get_contents("/data.txt"))), "\n";
mkdir("/dir");
touch("/dir/x", 1000000000);
rename("/dir/x", "/dir/y");
echo "directory ", implode(",", array_diff(scandir("/dir"), [".", ".."])), " ", filemtime("/dir/y"), "\n";
unlink("/dir/y");
rmdir("/dir");
echo "gone ", var_export(file_exists("/dir"), true), "\n";
$garbage = [];
for ($i = 0; $i < 100000; $i++) { $o = new stdClass; $o->self = $o; $garbage[$i % 100] = $o; }
echo "garbage ", count($garbage), "\n";
