//! Compiles the modules of the tests.

fn main() {
    for name in ["calls", "imports", "program", "starts"] {
        aot_build::Builder::new(format!("modules/{name}.wat")).compile();
    }
    // The same module again, with other code: both are in one program.
    aot_build::Builder::new("modules/calls.wat").name("stoppable").interruptible(true).compile();
    aot_build::Builder::new("modules/program.wat").name("own_wasi").wasi(false).compile();
}
