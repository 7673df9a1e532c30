// What the tests say with.
export function same(found, expected, what = "value") {
  if (!Object.is(found, expected)) {
    throw new Error(`${what}: ${String(found)} (${typeof found}), not ${String(expected)} (${typeof expected})`);
  }
}

export function list(found, expected, what = "list") {
  same(Array.isArray(found), true, what);
  same(found.length, expected.length, `${what}, length`);
  expected.forEach((value, index) => same(found[index], value, `${what}, ${index}`));
}

// Whether something throws an error of a class, whose message has a text.
export function throws(action, Class, text = "") {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Class)) throw new Error(`${String(error)} is no ${Class.name}`, { cause: error });
    if (!error.message.includes(text)) throw new Error(`"${error.message}" does not say "${text}"`);
    return error;
  }
  throw new Error(`nothing thrown, instead of ${Class.name} ${text}`);
}
