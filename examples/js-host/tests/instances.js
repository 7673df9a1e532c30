import { load } from "aot:host";
import * as one from "./memory_of_one.wat";
import * as same_one from "./../tests/memory_of_one.wat";
import { same, throws } from "./assert.js";

// One instance for a file, however it is imported.
one.set(5);
same(same_one.get(), 5);
const dynamic = await import("./memory_of_one.wat");
same(dynamic.get(), 5);
same(dynamic.get, one.get);
same(Object.keys(one).join(), "get,get_nothing,memory,set");

// Any number of instances, each with its own state.
const module = load("./counter.wat");
const instances = [];
for (let step = 0; step < 50; step += 1) instances.push(new WebAssembly.Instance(module, { env: { step } }));
for (let round = 1; round <= 3; round += 1) {
  instances.forEach(({ exports }, step) => same(exports.next(), step * round));
}
same(instances[7].exports.count.value, 21);
throws(() => (instances[0].exports.next = 1), TypeError);

// `instantiate` and `compile`.
const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
same((await WebAssembly.compile(bytes)) instanceof WebAssembly.Module, true);
const both = await WebAssembly.instantiate(bytes.buffer);
same(both.instance instanceof WebAssembly.Instance, true);
same((await WebAssembly.instantiate(both.module)) instanceof WebAssembly.Instance, true);
same((await WebAssembly.instantiate(module, { env: { step: 4 } })).exports.next(), 4);
same(WebAssembly.validate(bytes), true);
same(WebAssembly.validate(bytes.subarray(0, 7)), false);
same(JSON.stringify(WebAssembly.Module.imports(module)), '[{"module":"env","name":"step","kind":"global"}]');
same(JSON.stringify(WebAssembly.Module.exports(module)), '[{"name":"count","kind":"global"},{"name":"next","kind":"function"}]');

console.log("ok");
