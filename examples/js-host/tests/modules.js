import { four_times, answer as direct } from "./cycle-a.wat";
import { answer, starts } from "./cycle-b.js";
import * as one from "./memory_of_one.wat";
import * as next from "./next.wat";
import standard, * as names from "./names.wat";
import { load } from "aot:host";
import { same, throws } from "./assert.js";

const rejects = async (specifier, Class, text) => {
  const error = await import(specifier).then(() => undefined, (error) => error);
  throws(() => { throw error; }, Class, text);
};

// A module of WebAssembly and a script that import each other.
same(four_times(10), 40);
same(direct(), 42);
same(answer(), 42);
same(starts, 1);

// Modules that import from each other, with a memory that both use.
one.set(20);
same(next.get(), 40);
same(next.odd(), 3);
same(standard(), 2);
same(names["\u2028*/"](), 7);
same(names["__proto__"](), 4);
same(names[""](), 5);
same(names["☕"](), 6);
const { exports } = new WebAssembly.Instance(load("./names.wat"));
same(Object.keys(exports).length, 7);
same(exports["__proto__"](), 4);

// What cannot be imported.
await rejects("./nothing.wasm", ReferenceError, "nothing.wasm");
await rejects("./nothing.js", ReferenceError, "nothing.js");
await rejects("nothing", ReferenceError, "--import nothing=FILE");
await rejects("", ReferenceError, "cannot resolve");
await rejects("./cycle.wat", ReferenceError);
await rejects("./values.js?x", ReferenceError);
throws(() => load("./nothing.wasm"), ReferenceError, "nothing.wasm");
throws(() => load("./assert.js"), WebAssembly.CompileError);
throws(() => load(), TypeError);
throws(() => load(5), ReferenceError);
console.log("ok");
