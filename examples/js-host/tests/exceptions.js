import * as wasm from "./throw.wat";
import { set } from "./throw.js";
import { same, throws } from "./assert.js";

const caught = (action) => {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing thrown");
};

// Whatever is thrown is what is caught.
for (const value of [new Error("mine"), "text", 5, null, undefined, { any: "object" }, Symbol("s"), 7n]) {
  set(() => {
    throw value;
  });
  same(caught(() => wasm.outer(0)), value, "exception");
}

// Calls go back and forth, and the innermost exception comes out.
const innermost = new Error("innermost");
set((depth) => {
  if (depth === 0) throw innermost;
  return wasm.outer(depth - 1);
});
same(caught(() => wasm.outer(20)), innermost);
set((depth) => (depth === 0 ? 100 : wasm.outer(depth - 1)));
same(wasm.outer(20), 121);
// Caught on the way, and another one thrown.
let finals = 0;
set((depth) => {
  try {
    if (depth === 0) throw innermost;
    return wasm.outer(depth - 1);
  } catch (error) {
    if (depth === 3) return 1000;
    throw error;
  } finally {
    finals += 1;
  }
});
same(wasm.outer(5), 1003);
same(finals, 6);

// Traps.
const { RuntimeError } = WebAssembly;
for (const [action, message] of [
  [() => wasm.unreachable(), "unreachable"],
  [() => wasm.divide(1, 0), "integer divide by zero"],
  [() => wasm.divide(-(2 ** 31), -1), "integer overflow"],
  [() => wasm.truncate(NaN), "invalid conversion to integer"],
  [() => wasm.trap(65536), "out of bounds memory access"],
  [() => wasm.indirect(0), "uninitialized element"],
  [() => wasm.indirect(9), "undefined element"],
  [() => wasm.recurse(), "call stack exhausted"],
]) {
  const error = throws(action, RuntimeError, message);
  same(error instanceof Error, true);
  same(error.name, "RuntimeError");
  same(Object.prototype.toString.call(error), "[object Error]");
  same(String(error), `RuntimeError: ${error.message}`);
}
const { stack } = throws(() => wasm.deep(-1), RuntimeError);
const lines = stack.split("\n");
same(/^ +at inner \(wasm-function\[2\]:0x[0-9a-f]+\)$/.test(lines[0]), true, lines[0]);
same(/^ +at .*\(wasm-function\[3\]\)$/.test(lines[1]), true, lines[1]);
same(stack.includes("exceptions.js"), true, stack);

// A trap below a function of JavaScript is an exception there.
set((value) => {
  const error = throws(() => wasm.unreachable(), RuntimeError);
  same(error.message, "unreachable");
  return value;
});
same(wasm.outer(1), 2);
set(() => wasm.divide(1, 0));
throws(() => wasm.outer(1), RuntimeError, "integer divide by zero");

// Endless recursion, in either or both.
throws(() => wasm.recurse(), RuntimeError, "call stack exhausted");
set((value) => wasm.outer(value));
for (let round = 0; round < 20; round += 1) {
  const error = caught(() => wasm.outer(0));
  same(error instanceof RangeError || error instanceof RuntimeError, true, String(error));
}
const forever = () => forever() + wasm.count(1);
for (let round = 0; round < 5; round += 1) throws(forever, RangeError);
const alternate = (depth) => {
  set(() => alternate(depth + 1));
  return wasm.outer(depth);
};
for (let round = 0; round < 5; round += 1) caught(() => alternate(0));
// And then everything works.
set((value) => value);
same(wasm.outer(1), 2);
same(wasm.divide(6, 3), 2);
console.log("ok");
