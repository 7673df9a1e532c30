// What `throw.wat` calls.
let callee = (value) => value;

export function set(func) {
  callee = func;
}

export function call(value) {
  return callee(value);
}
