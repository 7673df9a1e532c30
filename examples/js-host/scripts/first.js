// cargo run --release -p aot-js-host -- examples/js-host/scripts/first.js
import * as math from "./math.wat";
import { boolean, load } from "aot:host";

console.log("add:", math.add(40, 2));
console.log("factorial:", math.factorial(20n));
console.log("divide:", math.divide(17, 5));

const isEven = boolean(math.is_even);
console.log("is 10 even?", isEven(10));

// The memory of the instance is an ArrayBuffer.
const bytes = new Uint8Array(math.memory.buffer);
bytes.set([1, 2, 3, 4]);
console.log("sum:", math.sum(4));

// A trap is an exception.
try {
  math.divide(1, 0);
} catch (error) {
  console.log(error instanceof WebAssembly.RuntimeError, error.message);
}

// More instances of the same file, with imports of one's own.
const module = load("./math.wat");
const { exports } = new WebAssembly.Instance(module, { "./report.js": { report: (sum) => console.log("mine:", sum) } });
exports.add(1, 1);
exports.sum(0);
console.log("calls:", math.calls.value, exports.calls.value);

const again = await import("./math.wat");
console.log("the same instance:", again.add === math.add);
