//! Names of linkers → names for people, of C++ and Rust.

use std::fmt::{self, Write as _};

/// Bytes of the longest name that is looked at, and of the longest result: names can be made that grow without end.
const LONGEST: usize = 16 * 1024;

/// What a mangled name stands for, as C++ (Itanium) and Rust (both schemes) mangle names; `None` if it is not mangled, or
/// cannot be read.
pub fn demangle(name: &str) -> Option<String> {
    if name.len() > LONGEST {
        return None;
    }
    let mut out = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash at the end.
        return write!(out, "{rust:#}").is_ok().then_some(out.0);
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(name.as_bytes()).ok()?;
    let options = cpp_demangle::DemangleOptions::new();
    symbol.structured_demangle(&mut out, &options).is_ok().then_some(out.0)
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[test]
    fn both_languages_are_known() {
        let check = |name, expected: Option<&str>| assert_eq!(demangle(name).as_deref(), expected, "{name}");
        check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", Some("core::fmt::Formatter::pad"));
        check("_RNvCs1234_7mycrate3foo", Some("mycrate::foo"));
        check("_ZNK8geometry5Point4normEv", Some("geometry::Point::norm() const"));
        check("_Z3addii.llvm.12", Some("add(int, int) [clone .llvm.12]"));
        for plain in ["main", "_start", "_Z", "_ZN", "_R", "geometry::Point::norm() const", "", "_Zé"] {
            check(plain, None);
        }
    }

    /// Each substitution doubles the name.
    #[test]
    fn names_do_not_grow_without_end() {
        let mut name = String::from("_Z1fI1aE");
        for digit in "_0123456789ABCDEFGHIJKLMNOPQ".chars() {
            let last = if digit == '_' { String::from("S_") } else { format!("S{digit}_") };
            name += &format!("1bI{last}{last}E");
        }
        assert!(demangle(&name).is_none_or(|text| text.len() <= super::LONGEST));
        assert!(demangle(&format!("_ZN{}E", "1a".repeat(100_000))).is_none());
        assert!(
            demangle(&format!("_Z1f{}i", "P".repeat(10_000))).is_none_or(|text| text.len() <= super::LONGEST)
        );
    }
}
