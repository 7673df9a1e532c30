//! Names of wasm, which may be any text, as identifiers of Rust.

use std::collections::HashSet;

/// Words that are no identifiers, in any edition.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "_",
];

/// Methods that every instance has, and those that a call on an instance would find before one of the guest's.
pub const METHODS: &[&str] = &[
    "new",
    "with_options",
    "host",
    "host_mut",
    "interrupt_handle",
    "drop",
    "deref",
    "deref_mut",
    "into",
    "try_into",
    "raw",
    "trapped",
    "func_ref",
    "raw_func_ref",
];

/// Whether a text is an identifier, of ASCII.
pub fn is_identifier(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    first
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !KEYWORDS.contains(&text)
}

/// Identifiers of one scope.
#[derive(Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    pub fn with(taken: &[&str]) -> Names {
        Names { taken: taken.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// Identifiers that nothing else has: the wanted name with each of the suffixes, and a number if it needs one.
    pub fn add<const N: usize>(&mut self, wanted: &str, affixes: [(&str, &str); N]) -> [String; N] {
        let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
        let base: String = wanted.chars().map(plain).collect();
        for number in 1.. {
            let middle = if number == 1 { base.clone() } else { format!("{base}_{number}") };
            let names = affixes.map(|(before, after)| {
                let name = format!("{before}{middle}{after}");
                if is_identifier(&name) {
                    return name;
                }
                match name.bytes().next() {
                    Some(first) if !first.is_ascii_digit() => format!("{name}_"),
                    _ => format!("_{name}_"),
                }
            });
            if names.iter().all(|name| !self.taken.contains(name)) {
                self.taken.extend(names.iter().cloned());
                return names;
            }
        }
        unreachable!("there are more numbers than names")
    }

    pub fn one(&mut self, wanted: &str) -> String {
        let [name] = self.add(wanted, [("", "")]);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_differ() {
        let mut names = Names::with(METHODS);
        let wanted = ["a_b", "a.b", "1x", "é", "", "type", "self", "new", "a_b"];
        let made = wanted.map(|name| names.one(name));
        assert_eq!(made, ["a_b", "a_b_2", "_1x_", "__", "_2", "type_", "self_", "new_2", "a_b_3"]);
        assert!(made.iter().all(|name| is_identifier(name)), "{made:?}");
    }

    #[test]
    fn groups_have_one_number() {
        let mut names = Names::default();
        names.one("memory_mut");
        let made = names.add("memory", [("", ""), ("", "_mut"), ("read_", "")]);
        assert_eq!(made, ["memory_2", "memory_2_mut", "read_memory_2"]);
    }
}
