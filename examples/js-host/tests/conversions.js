import * as wasm from "./values.wat";
import * as js from "./values.js";
import { boolean } from "aot:host";
import { same, list, throws } from "./assert.js";

const i32 = [
  [0, 0], [-0, 0], [1, 1], [-1, -1], [1.9, 1], [-1.9, -1], [2 ** 31, -(2 ** 31)], [2 ** 32, 0], [2 ** 32 + 5, 5],
  [2 ** 53, 0], [1e300, 0], [NaN, 0], [Infinity, 0], [-Infinity, 0], [true, 1], [false, 0], [null, 0],
  [undefined, 0], ["12", 12], ["0x10", 16], ["x", 0], [{ valueOf: () => 42 }, 42], [[7], 7], [new Date(5), 5],
];
const i64 = [
  [0n, 0n], [-1n, -1n], [2n ** 63n, -(2n ** 63n)], [2n ** 64n, 0n], [2n ** 64n + 7n, 7n], [-(2n ** 63n) - 1n, 2n ** 63n - 1n],
  [10n ** 40n, BigInt.asIntN(64, 10n ** 40n)], [true, 1n], [false, 0n], ["12", 12n], [{ valueOf: () => 42n }, 42n], [[7], 7n],
];
const f64 = [
  [0, 0], [-0, -0], [NaN, NaN], [Infinity, Infinity], [-Infinity, -Infinity], [0.1, 0.1], [5e-324, 5e-324], [2 ** 31, 2 ** 31],
  [-(2 ** 31), -(2 ** 31)], [2 ** 53 + 2, 2 ** 53 + 2], [true, 1], [null, 0], [undefined, NaN], ["1.5", 1.5], ["", 0], [{ valueOf: () => -0 }, -0],
];
const f32 = f64.filter(([value]) => value !== 0.1).map(([value, result]) => [value, Math.fround(result)]);
f32.push([0.1, Math.fround(0.1)], [1e39, Infinity], [16777217, 16777216]);

for (const [name, cases] of Object.entries({ i32, i64, f32, f64 })) {
  for (const [value, expected] of cases) {
    same(wasm[name](value), expected, `${name} of ${String(value)}`);
    // As the result of a function that wasm code calls, and as its argument.
    js.returns(value);
    same(wasm[`js_${name}`](expected), expected, `${name} of ${String(value)}, returned`);
    list(js.last, [expected], `argument of ${name}`);
  }
}

// Wrong types.
for (const value of [1n, Symbol("s"), { valueOf: () => 1n }]) {
  for (const name of ["i32", "f32", "f64"]) {
    throws(() => wasm[name](value), TypeError);
    js.returns(value);
    throws(() => wasm[`js_${name}`](0), TypeError);
  }
}
for (const value of [1, 1.5, NaN, null, undefined, Symbol("s"), { valueOf: () => 1 }]) {
  throws(() => wasm.i64(value), TypeError, "bigint");
  js.returns(value);
  throws(() => wasm.js_i64(0n), TypeError);
}
throws(() => wasm.i64("x"), SyntaxError);
throws(() => wasm.i64(), TypeError);
same(wasm.i32(), 0);
same(wasm.f64(), NaN);
// What a conversion throws goes on as it is.
const mine = new RangeError("mine");
same(throws(() => wasm.i32({ valueOf() { throw mine; } }), RangeError), mine);

// Vectors do not cross.
throws(() => wasm.vector(1), TypeError, "v128");
throws(() => wasm.vector_result(), TypeError, "v128");

// NaN is a NaN, and minus zero keeps its sign.
same(wasm.bits(-0), -(2n ** 63n));
same((BigInt.asUintN(64, wasm.bits(NaN)) >> 52n) & 0x7ffn, 0x7ffn);

// Several values.
same(wasm.none(), undefined);
list(wasm.three(1, 2n, 3.5), [3.5, 2n, 1]);
list(wasm.twenty(...Array.from({ length: 20 }, (_, index) => index + 1)), [1, 20]);
list(wasm.twenty(1, 2, 3), [1, 0]);
same(wasm.i32(1, 2, 3), 1);
js.returns([1.5, 2n]);
list(wasm.js_many(1, 2n, 0.5, -0, 5), [1.5, 2n]);
list(js.last, [1, 2n, 0.5, -0, 5]);
js.returns(new Set([3, 4n]));
list(wasm.js_many(1, 2n, 0.5, -0, 5), [3, 4n]);
for (const wrong of [[1], [1, 2n, 3], 7, undefined, { length: 2 }]) {
  js.returns(wrong);
  throws(() => wasm.js_many(1, 2n, 0.5, -0, 5), TypeError);
}
js.returns([1, 2]);
throws(() => wasm.js_many(1, 2n, 0.5, -0, 5), TypeError);
js.returns("ignored");
same(wasm.js_nothing(), undefined);
list(js.last, [7]);

// References.
const object = {};
const symbol = Symbol("s");
for (const value of [null, undefined, 0, -0, NaN, "text", 1n, true, symbol, object, wasm.i32, console.log]) {
  same(wasm.any(value), value, "externref");
  js.returns(value);
  same(wasm.js_any(value), value, "externref");
  list(js.last, [value], "externref");
  same(wasm.is_null(value), value === null ? 1 : 0);
}
same(wasm.func(null), null);
same(wasm.func(wasm.i32), wasm.i32);
js.returns(wasm.f64);
same(wasm.js_func(wasm.i32), wasm.f64);
list(js.last, [wasm.i32]);
for (const wrong of [undefined, 1, {}, () => 1, Math.max]) throws(() => wasm.func(wrong), TypeError, "function reference");

// True and false.
same(wasm.not(true), 0);
const not = boolean(wasm.not);
same(not(true), false);
same(not(0), true);
throws(() => boolean(wasm.i64), TypeError);
throws(() => boolean(Math.max), TypeError);

// What functions are.
same(typeof wasm.i32, "function");
same(wasm.three.length, 3);
same(wasm.i32 instanceof Function, true);
same(wasm.i32.call(null, 5), 5);
list(wasm.three.apply(undefined, [1, 2n, 3]), [3, 2n, 1]);
list([1.5, 2.5].map(wasm.i32), [1, 2]);
same(wasm.i32.bind(null, 9)(), 9);
throws(() => new wasm.i32(1), TypeError);
console.log("ok");
