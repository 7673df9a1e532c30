// Imports the module that imports this one.
import * as wasm from "./cycle-a.wat";

export let starts = 0;
export function twice(value) {
  return value * 2;
}
export function started() {
  starts += 1;
}
export function answer() {
  return wasm.answer();
}
export const direct = wasm;
