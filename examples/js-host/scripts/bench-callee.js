// The plain functions of JavaScript that `bench.js` compares with, and `bench.wat` calls.
export function none() {}

export function add(a, b) {
  return a + b;
}
