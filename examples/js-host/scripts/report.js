// What the module `math.wat` imports.
export function report(sum) {
  console.log("the module has counted to", sum);
}
