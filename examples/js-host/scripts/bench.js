// cargo run --release -p aot-js-host -- examples/js-host/scripts/bench.js
//
// Nanoseconds for each call: the median of 9 rounds in turn, less what the loop around the call takes.
import * as wasm from "./bench.wat";
import { none, add } from "./bench-callee.js";

const CALLS = 200000;
const ROUNDS = 9;

const cases = {
  "empty loop": (n) => { for (let i = 0; i < n; i += 1); },
  "JavaScript → JavaScript, nothing": (n) => { for (let i = 0; i < n; i += 1) none(); },
  "JavaScript → JavaScript, a + b": (n) => { for (let i = 0; i < n; i += 1) add(i, 1); },
  "JavaScript → built-in, Math.max(a, b)": (n) => { const { max } = Math; for (let i = 0; i < n; i += 1) max(i, 1); },
  "JavaScript → wasm, nothing": (n) => { const f = wasm.none; for (let i = 0; i < n; i += 1) f(); },
  "JavaScript → wasm, i32 + i32": (n) => { const f = wasm.add; for (let i = 0; i < n; i += 1) f(i, 1); },
  "JavaScript → wasm, f64 + f64": (n) => { const f = wasm.add_f64; for (let i = 0; i < n; i += 1) f(i, 0.5); },
  "JavaScript → wasm, i64 + i64": (n) => { const f = wasm.add_i64; for (let i = 0; i < n; i += 1) f(5n, 1n); },
  "JavaScript → wasm, two results": (n) => { const f = wasm.two; for (let i = 0; i < n; i += 1) f(i, 1); },
  "wasm → JavaScript, nothing": (n) => wasm.call_none(n),
  "wasm → JavaScript, i32 + i32": (n) => wasm.call_add(n),
  "wasm → JavaScript, f64 + f64": (n) => wasm.call_add_f64(n),
  "wasm → JavaScript, i64 + i64": (n) => wasm.call_add_i64(n),
};

const times = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, run] of Object.entries(cases)) {
    const start = performance.now();
    run(CALLS);
    times[name].push(((performance.now() - start) * 1e6) / CALLS);
  }
}
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const loop = median(times["empty loop"]);
for (const [name, list] of Object.entries(times)) {
  // Loops of wasm code cost next to nothing.
  const around = name === "empty loop" || name.startsWith("wasm") ? 0 : loop;
  console.log(`${name}:`.padEnd(42), (median(list) - around).toFixed(1), "ns");
}
