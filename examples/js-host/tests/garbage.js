import { load, readFile } from "aot:host";
import * as one from "./memory_of_one.wat";
import { same } from "./assert.js";

const counter = load("./counter.wat");
const cyclic = load("./cyclic.wat");
const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
const { Instance, Memory, Module, Table } = WebAssembly;

// Each leaves something that nothing refers to.
const kinds = {
  instance() {
    new Instance(counter, { env: { step: 1 } }).exports.next();
  },
  // Refers to itself by what it imports.
  cycle() {
    let instance;
    instance = new Instance(cyclic, { env: { call: () => instance.exports.memory.buffer } });
    instance.exports.touch();
  },
  // Imports a function of an instance that stays.
  importer() {
    new Instance(cyclic, { env: { call: one.get_nothing } }).exports.touch();
  },
  trap() {
    const instance = new Instance(cyclic, { env: { call() { throw new Error(); } } });
    try {
      instance.exports.touch();
    } catch {}
  },
  buffer() {
    const memory = new Memory({ initial: 1, maximum: 3 });
    new Uint8Array(memory.buffer)[0] = 1;
    memory.grow(1);
    new Uint8Array(memory.buffer)[70000] = 1;
  },
  table() {
    const table = new Table({ element: "externref", initial: 10 });
    table.set(0, table);
  },
  unbindable() {
    try {
      new Instance(counter, { env: { step: "x" } });
    } catch {}
  },
};

// Pages of memory that the process has, and address space that it has taken.
const usage = () => {
  const text = String.fromCharCode(...new Uint8Array(readFile("/proc/self/statm")));
  const [size, resident] = text.split(" ").map(Number);
  return { size, resident };
};

for (const [name, make] of Object.entries(kinds)) {
  for (let round = 0; round < 2000; round += 1) make();
  const before = usage();
  for (let round = 0; round < 10000; round += 1) make();
  const after = usage();
  const grown = after.resident - before.resident;
  same(grown < 4096, true, `${name}: ${grown} pages more`);
  // 10,000 memories would be 60 TiB.
  const space = (after.size - before.size) / 2 ** 18;
  same(space < 4096, true, `${name}: ${space} GiB more address space`);
}

// Modules.
for (let round = 0; round < 100; round += 1) new Instance(new Module(bytes));
const before = usage();
for (let round = 0; round < 500; round += 1) new Instance(new Module(bytes));
const grown = usage().resident - before.resident;
same(grown < 2048, true, `modules: ${grown} pages more`);

// A finalizer runs when an instance is gone.
let freed = 0;
const registry = new FinalizationRegistry(() => (freed += 1));
for (let round = 0; round < 5000; round += 1) {
  let instance;
  instance = new Instance(cyclic, { env: { call: () => instance } });
  registry.register(instance, round);
}
await null;
same(freed > 4000, true, `of 5000 instances ${freed} are gone`);
same(one.get(), 0);
console.log("ok");
