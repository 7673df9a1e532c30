import { load } from "aot:host";
import * as one from "./memory_of_one.wat";
import { same, throws } from "./assert.js";

const module = load("./items.wat");
const table = new WebAssembly.Table({ element: "anyfunc", initial: 4, maximum: 10 });
const memory = new WebAssembly.Memory({ initial: 2, maximum: 4 });
const mutable = new WebAssembly.Global({ value: "i64", mutable: true }, 40n);
const object = { any: "object" };
const func = () => 9.7;
new Uint8Array(memory.buffer)[0] = 6;
const imports = { table, memory, mutable, constant: 1.25, object, func };
const { exports } = new WebAssembly.Instance(module, { env: imports });

// What was imported is exported again as the same object; a function of JavaScript has become one of wasm.
for (const name of ["table", "memory", "mutable"]) same(exports[name], imports[name], name);
same(exports.func === func, false);
same(exports.func(), 9);

// Globals.
exports.add(2n);
same(mutable.value, 42n);
mutable.value = 2n ** 64n + 1n;
exports.add(1n);
same(mutable.value, 2n);
throws(() => (mutable.value = 1), TypeError);
same(exports.sum.value, 1.5);
exports.sum.value = 0.1;
same(exports.sum.value, Math.fround(0.1));
same(exports.constant.value, 1.25);
throws(() => (exports.constant.value = 1), TypeError, "cannot be changed");
same(exports.object.value, object);
same(new WebAssembly.Global({ value: "f32" }).value, 0);
same(new WebAssembly.Global({ value: "i64" }).value, 0n);
same(new WebAssembly.Global({ value: "i32", mutable: true }, 2 ** 32 + 1).value, 1);
same(new WebAssembly.Global({ value: "externref" }, object).value, object);
same(new WebAssembly.Global({ value: "anyfunc" }).value, null);
same(new WebAssembly.Global({ value: "i32" }, 5) + 1, 6);
throws(() => new WebAssembly.Global({ value: "i64" }, 1), TypeError);
throws(() => new WebAssembly.Global({ value: "i31" }, 1), TypeError, "i31");
throws(() => new WebAssembly.Global({ value: "v128" }), TypeError);
throws(() => new WebAssembly.Global(), TypeError);

// Tables.
same(table.length, 4);
same(table.get(0), exports.three);
same(table.get(1), exports.func);
same(table.get(2), null);
table.set(2, exports.three);
same(exports.call(2), 3);
same(exports.call(1), 9);
// A function of another store.
table.set(3, one.get);
one.set(77);
same(exports.call(3), 77);
same(table.get(3), one.get);
table.set(3, null);
same(table.get(3), null);
table.set(2);
same(table.get(2), null);
throws(() => exports.call(3), WebAssembly.RuntimeError, "uninitialized element");
table.set(3, exports.poke);
throws(() => exports.call(3), WebAssembly.RuntimeError, "indirect call type mismatch");
// No module of the store has code for calls of such functions of others.
throws(() => table.set(3, one.set), TypeError, "of this type");
for (const wrong of [() => 1, 1, {}]) throws(() => table.set(0, wrong), TypeError);
for (const index of [4, 100, 2 ** 32 - 1]) {
  throws(() => table.get(index), RangeError);
  throws(() => table.set(index, null), RangeError);
}
for (const index of [-1, NaN, 2 ** 32, "x"]) throws(() => table.get(index), TypeError);
same(table.grow(2, exports.three), 4);
same(exports.call(5), 3);
throws(() => table.grow(100), RangeError);
exports.objects.set(1, object);
same(exports.object_at(1), object);
same(exports.object_at(0), null);
same(exports.objects.grow(1, "text"), 3);
same(exports.object_at(3), "text");
throws(() => exports.object_at(4), WebAssembly.RuntimeError);
throws(() => new WebAssembly.Table({ element: "i32", initial: 1 }), TypeError);
throws(() => new WebAssembly.Table({ element: "anyfunc", initial: 2 ** 32 }), TypeError);

// The memory.
same(new Uint8Array(memory.buffer)[0], 6);
exports.poke(4, 0x01020304);
same(new Uint8Array(memory.buffer)[7], 1);

// Instances that share items live together, and others do not fit.
const second = new WebAssembly.Instance(module, { env: { ...imports, constant: exports.constant, func: one.get } }).exports;
same(second.table, table);
same(second.call(0), 3);
second.add(100n);
same(exports.mutable.value, 102n);
same(second.func, one.get);
throws(() => new WebAssembly.Instance(module, { env: { ...imports, memory: one.memory } }), WebAssembly.LinkError);
const foreign = new WebAssembly.Global({ value: "f64" }, 2.5);
same(foreign.value, 2.5);
same(new WebAssembly.Instance(module, { env: { ...imports, constant: foreign } }).exports.constant.value, 2.5);

// Imports that do not fit.
const { LinkError } = WebAssembly;
for (const [name, value, Class, text] of [
  ["table", undefined, LinkError, "WebAssembly.Table"],
  ["table", memory, LinkError, "WebAssembly.Table"],
  ["table", new WebAssembly.Table({ element: "externref", initial: 4, maximum: 10 }), LinkError, "incompatible"],
  ["table", new WebAssembly.Table({ element: "anyfunc", initial: 1, maximum: 10 }), LinkError, "incompatible"],
  ["memory", {}, LinkError, "WebAssembly.Memory"],
  ["memory", new WebAssembly.Memory({ initial: 1 }), LinkError, "incompatible"],
  ["mutable", 5n, LinkError, "can change"],
  ["mutable", new WebAssembly.Global({ value: "i64" }, 1n), LinkError, "incompatible"],
  ["constant", 1n, LinkError, "number"],
  ["constant", new WebAssembly.Global({ value: "i32" }, 1), LinkError, "incompatible"],
  ["func", undefined, LinkError, "`env` `func`"],
  ["func", 5, LinkError, "a function is wanted"],
  ["func", exports.add, LinkError, "incompatible"],
  ["func", one.set, LinkError, "incompatible"],
]) {
  const fresh = { ...imports, table: new WebAssembly.Table({ element: "anyfunc", initial: 4, maximum: 10 }), memory: new WebAssembly.Memory({ initial: 2, maximum: 4 }), mutable: new WebAssembly.Global({ value: "i64", mutable: true }, 0n) };
  throws(() => new WebAssembly.Instance(module, { env: { ...fresh, [name]: value } }), Class, text);
}
throws(() => new WebAssembly.Instance(module), TypeError, "env");
throws(() => new WebAssembly.Instance(module, {}), TypeError, "env");
throws(() => new WebAssembly.Instance(module, 5), TypeError);
throws(() => new WebAssembly.Instance({}), TypeError);
throws(() => WebAssembly.Instance(module), TypeError);
const getter = new RangeError("getter");
same(throws(() => new WebAssembly.Instance(module, { get env() { throw getter; } }), RangeError), getter);
console.log("ok");
