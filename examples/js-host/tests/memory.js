import { load } from "aot:host";
import { same, list, throws } from "./assert.js";

let poke = () => {};
const module = load("./memory.wat");
const make = () => new WebAssembly.Instance(module, { env: { poke: () => poke() } }).exports;
const wasm = make();
const { memory } = wasm;

// The buffer is the memory.
same(memory instanceof WebAssembly.Memory, true);
same(memory.buffer instanceof ArrayBuffer, true);
same(memory.buffer, memory.buffer);
same(memory.buffer.byteLength, 65536);
const bytes = new Uint8Array(memory.buffer);
same(String.fromCharCode(...bytes.subarray(8, 12)), "data");
bytes[100] = 7;
same(wasm.load(100), 7);
wasm.store(101, 8);
same(bytes[101], 8);
// Also while wasm code waits.
poke = () => (bytes[102] = 9);
same(wasm.call_and_load(102), 9);

// The buffer is detached when the memory grows, whoever makes it grow.
const old = memory.buffer;
same(memory.grow(1), 1);
same(old.byteLength, 0);
same(bytes.length, 0);
same(bytes[100], undefined);
bytes[100] = 1;
same(memory.buffer === old, false);
same(memory.buffer.byteLength, 2 * 65536);
same(new Uint8Array(memory.buffer)[100], 7);
same(memory.grow(0), 2);
let view = new DataView(memory.buffer);
same(wasm.grow(1), 2);
throws(() => view.getUint8(0), TypeError);
view = new Uint8Array(memory.buffer);
same(view.length, 3 * 65536);
poke = () => {
  same(view.length, 0, "the buffer in the call");
  same(memory.buffer.byteLength, 4 * 65536);
  view = new Uint8Array(memory.buffer);
  view[3 * 65536] = 77;
};
same(wasm.grow_and_call(1), 3);
same(wasm.load(3 * 65536), 77);
poke = () => {};
view = new Uint8Array(memory.buffer);
throws(() => wasm.grow_and_trap(), WebAssembly.RuntimeError, "unreachable");
same(view.length, 0);
same(memory.buffer.byteLength, 5 * 65536);
// It has its maximum.
view = new Uint8Array(memory.buffer);
same(wasm.grow(1), -1);
same(view.length, 5 * 65536);
throws(() => memory.grow(1), RangeError);
throws(() => memory.grow(-1), TypeError);
throws(() => memory.grow("x"), TypeError);
same(view.length, 5 * 65536);

// A typed array that is used while its memory grows.
const sorted = make();
const numbers = new Uint8Array(sorted.memory.buffer);
for (let index = 0; index < 1000; index += 1) numbers[index] = (index * 7919) % 251;
let grown = false;
numbers.sort((a, b) => {
  if (!grown) sorted.grow(1);
  grown = true;
  return a - b;
});
same(numbers.length, 0);
const filled = new Uint8Array(sorted.memory.buffer);
throws(() => filled.fill({ valueOf: () => (sorted.grow(1), 1) }), TypeError);

// Transferring the buffer takes nothing away from the memory.
const moved = make();
const first = moved.memory.buffer;
const taken = first.transfer();
same(first.byteLength, 0);
same(moved.memory.buffer === taken, false);
same(moved.memory.buffer.byteLength, 65536);
moved.store(50, 5);
same(new Uint8Array(moved.memory.buffer)[50], 5);
throws(() => moved.memory.buffer.transfer(100), Error);
throws(() => moved.memory.buffer.resize(100), TypeError);
throws(() => structuredClone(moved.memory.buffer), ReferenceError);

// Memory that only a buffer refers to.
let orphan = make().memory.buffer;
for (let round = 0; round < 300; round += 1) make();
same(new Uint8Array(orphan)[8], "d".charCodeAt(0));
new Uint8Array(orphan).fill(3);
orphan = undefined;

// A memory of the script's own.
const own = new WebAssembly.Memory({ initial: 1, maximum: 3 });
new Uint8Array(own.buffer)[0] = 5;
same(own.grow(1), 1);
same(new Uint8Array(own.buffer)[0], 5);
throws(() => own.grow(2), RangeError);
for (const wrong of [undefined, 5, {}, { initial: -1 }, { initial: 2 ** 32 }, { initial: NaN }, { initial: 1, maximum: -1 }]) {
  throws(() => new WebAssembly.Memory(wrong), TypeError);
}
throws(() => new WebAssembly.Memory({ initial: 2, maximum: 1 }), RangeError);
throws(() => new WebAssembly.Memory({ initial: 65537 }), RangeError);
throws(() => new WebAssembly.Memory({ initial: 65536 }).buffer, RangeError);
throws(() => Object.getOwnPropertyDescriptor(WebAssembly.Memory.prototype, "buffer").get.call({}), TypeError);
list(Object.keys(make()), ["memory", "load", "store", "grow", "grow_and_call", "grow_and_trap", "call_and_load"]);
console.log("ok");
