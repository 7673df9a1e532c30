//! The example of modules in Rust programs: runs it, and looks at what it prints.

use std::process::Command;

#[test]
fn the_example_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_shop")).output().expect("the example starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let (printed, rest) = printed.split_at(printed.find("0 pieces: Unr").expect("the trap"));
    assert_eq!(
        printed,
        "3 pieces: 750 = 625 + 125\n\
         20 pieces: 4500 = 3750 + 750\n\
         at another rate: (50, 700)\n\
         notes: [\"a tenth off\"]\n\
         rates: 7 and 20\n"
    );
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with("0 pieces: Unreachable: wasm trap: unreachable"), "{rest}");
    assert_eq!(lines[1..], ["30 pieces: Error: the shop has no more paper", "1 piece: 250"]);
}

#[test]
fn the_guide_shows_what_is_generated() {
    let price = include_str!(concat!(env!("OUT_DIR"), "/price.rs"));
    let tax = include_str!(concat!(env!("OUT_DIR"), "/tax.rs"));
    let guide = include_str!("../docs/rust-libraries.md");
    let mut count = 0;
    for line in guide.lines() {
        let text = line.trim();
        let is_signature = line.starts_with(' ') && (text.starts_with("pub fn ") || text.starts_with("fn "));
        if let Some(signature) = text.strip_suffix(';').filter(|_| is_signature) {
            count += 1;
            assert!(price.contains(signature) || tax.contains(signature), "{signature}");
        }
    }
    assert!(count > 10, "{count} signatures");
}
