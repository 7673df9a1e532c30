// What scripts do: objects, closures, arrays, strings, regular expressions, numbers.

class Random {
  constructor(seed) {
    this.state = seed;
  }
  next() {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state;
  }
}

function bodies(steps) {
  const all = [0, 1, 2, 3].map((i) => ({ x: i, y: 3 - i, vx: 0, vy: i * 0.01, mass: 1 + i }));
  for (let step = 0; step < steps; step++) {
    for (const a of all) {
      for (const b of all) {
        if (a === b) continue;
        const dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy + 0.1;
        const pull = (0.001 * b.mass) / (square * Math.sqrt(square));
        a.vx += dx * pull;
        a.vy += dy * pull;
      }
    }
    for (const a of all) {
      a.x += a.vx * 0.001;
      a.y += a.vy * 0.001;
    }
  }
  return all.map((a) => a.x.toFixed(6)).join(" ");
}

function words(count) {
  const random = new Random(7), counts = new Map();
  let text = "";
  for (let i = 0; i < count; i++) text += (random.next() % 5000).toString(36) + (i % 9 ? " " : ", ");
  for (const word of text.split(/[ ,]+/)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const matches = text.match(/\b[a-c]\w*[0-9]\b/g);
  return `${sorted.slice(0, 3)} ${matches.length} ${text.replace(/(\w)(\w)/g, "$2$1").length}`;
}

function sorted(count) {
  const random = new Random(3), list = Array.from({ length: count }, () => random.next() % 1e6);
  list.sort((a, b) => a - b);
  return list.filter((n, i) => i % 1000 === 0).reduce((a, b) => (a * 31 + b) % 1000003, 0);
}

const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

console.log(bodies(6000));
console.log(words(60000));
console.log(sorted(60000));
console.log(fib(25));
console.log(JSON.stringify(JSON.parse(JSON.stringify(Array.from({ length: 20000 }, (_, i) => ({ i, s: `n${i}` }))))).length);
