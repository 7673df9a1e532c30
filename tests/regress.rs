//! The smallest modules that show bugs of the past, or what has many forms: `tests/regress/*.wast`, in every configuration.

use std::path::Path;
use std::process::Command;

#[test]
fn bugs_of_the_past() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/regress");
    for cpu in ["baseline", "native"] {
        for level in ["opt-level=0", "opt-level=2"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_aot"));
            let output = command.args(["wast", "--cpu", cpu, "-O", level]).arg(&scripts).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{cpu}, {level}:\n{text}");
        }
    }
}
