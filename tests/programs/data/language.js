import multiply, { identity } from "./matrix.mjs";
import * as std from "qjs:std";

console.log("arguments", scriptArgs.slice(1).join(","), "environment", std.getenv("GREETING"));
console.log("matrix", JSON.stringify(multiply([[1, 2], [3, 4]], identity(2))));

class Shape {
  #name;
  static count = 0;
  constructor(name) { this.#name = name; Shape.count++; }
  get name() { return this.#name; }
  area() { throw new Error(`${this.name} has no area`); }
}
class Circle extends Shape {
  constructor(r) { super("circle"); this.r = r; }
  area() { return Math.PI * this.r ** 2; }
}
console.log("classes", new Circle(2).area().toFixed(6), Shape.count);
try { new Shape("point").area(); } catch ({ message }) { console.log("caught", message); }

function* primes() {
  const composites = new Map();
  for (let n = 2; ; n++) {
    const factors = composites.get(n);
    if (!factors) { yield n; composites.set(n * n, [n]); continue; }
    for (const p of factors) composites.set(n + p, [...(composites.get(n + p) ?? []), p]);
    composites.delete(n);
  }
}
let last, sum = 0;
for (const p of primes()) { if (p > 5000) break; last = p; sum += p; }
console.log("primes", last, sum);

let a = 0n, b = 1n;
for (let i = 0; i < 1000; i++) [a, b] = [b, a + b];
console.log("bigint", a % 1000000007n, String(a).length);

console.log("regexp", "2026-11-21, 1999-01-02".replace(/(?<y>\d{4})-(?<m>\d\d)-(?<d>\d\d)/gu, "$<d>.$<m>.$<y>"));
console.log("unicode", [..."héllo 🌍"].length, "ß".toUpperCase(), "\u0065\u0301".normalize("NFC").length, /\p{Lu}/u.test("É"));
console.log("numbers", 0.1 + 0.2, 1e21, (255).toString(2), (0.000001234).toString(), Number("0x1f"), -0 === 0, Object.is(-0, 0));
console.log("typed", new Float32Array([1.1, 2.2]).join(), new Int8Array([200]).join(), new DataView(new Uint8Array([1, 2, 3, 4]).buffer).getUint32(0));
console.log("sort", [5, 3, 11, 1].sort().join(), [5, 3, 11, 1].toSorted((x, y) => x - y).join());
console.log("date", new Date(Date.UTC(2024, 1, 29, 12)).toISOString());
console.log("json", JSON.stringify({ a: [1, null, undefined], b: { c: new Date(0) } }, null, 1).replace(/\n/g, "~"));
const proxy = new Proxy({}, { get: (_, key) => `<${String(key)}>` });
console.log("proxy", proxy.anything, Reflect.ownKeys({ x: 1, [Symbol("s")]: 2 }).length);

const objects = [];
for (let i = 0; i < 200000; i++) { objects[i % 1000] = { i, text: "x".repeat(i % 17), self: null }; objects[i % 1000].self = objects[i % 1000]; }
console.log("garbage", objects.reduce((total, o) => total + o.text.length, 0));

const wait = (value) => new Promise((resolve) => resolve(value));
(async () => {
  const values = await Promise.all([1, 2, 3].map(async (x) => (await wait(x)) * 2));
  for await (const v of values) console.log("async", v);
})();
queueMicrotask(() => console.log("microtask"));
console.log("end of script");
