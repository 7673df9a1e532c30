//! Compiles the plugins, and writes a Rust module for each.

fn main() {
    aot_build::Builder::new("price.wat").compile();
    aot_build::Builder::new("tax.wat").compile();
}
