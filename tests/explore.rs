//! `aot explore`: the page, as a browser without a window shows it.

use std::fs;
use std::path::Path;
use std::process::Command;

const AOT: &str = env!("CARGO_BIN_EXE_aot");

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $</script><b> (param i32 i32) (result i32)
        (i32.div_u (i32.load (local.get 0)) (local.get 1)))
    (func $other (export "other") (param i32) (result i32)
        (i32.mul (local.get 0) (i32.const 77)))
    (func (export "_start") (call $exit (call $</script><b> (i32.const 8) (i32.const 3)))))"#;

fn aot(directory: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(AOT).args(args).current_dir(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The page's elements after its script ran; `None` where there is no browser.
fn in_browser(page: &Path, fragment: &str) -> Option<String> {
    let browser = ["chromium", "chromium-headless-shell", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(browser) = browser else {
        assert!(std::env::var_os("CI").is_none(), "there is no browser");
        println!("SKIPPED: there is no browser (Debian: chromium)");
        return None;
    };
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}#{fragment}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The texts of the rows with a class, by pane.
fn rows<'p>(page: &'p str, class: &str) -> Vec<(&'p str, String)> {
    let items = page.split("<li ").skip(1).filter_map(|item| item.split("</li>").next()?.split_once('>'));
    let attribute = |tag: &'p str, name: &str| -> &'p str {
        tag.split_once(&format!("{name}=\""))
            .map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default())
    };
    items
        .filter(|(tag, _)| class.is_empty() || attribute(tag, "class").split(' ').any(|name| name == class))
        .map(|(tag, text)| {
            let text = text.rsplit("</i>").next().unwrap_or_default();
            (attribute(tag, "data-pane"), text.replace("&lt;", "<").replace("&gt;", ">"))
        })
        .collect()
}

#[test]
fn instructions_are_linked_to_code() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app.wat"), MODULE).unwrap();
    aot(directory.path(), &["explore", "app.wat", "--target", "x86_64-linux", "-C", "inlining=n"]).unwrap();
    let page = directory.path().join("app.html");
    let html = fs::read_to_string(&page).unwrap();
    // The name of the function ends neither the script nor the page.
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("http"), "the page needs nothing else");

    let Some(dom) = in_browser(&page, "f=1") else { return };
    let wasm: Vec<String> =
        rows(&dom, "").into_iter().filter(|row| row.0 == "wasm").map(|row| row.1).collect();
    assert!(wasm.iter().any(|line| line.contains("i32.div_u")), "{wasm:?}");
    assert!(rows(&dom, "hot").is_empty());
    // Where the division is, from the page itself.
    let offset = dom
        .split("data-offset=\"")
        .skip(1)
        .find(|rest| rest.split("</li>").next().unwrap().contains("i32.div_u"));
    let offset = offset.unwrap().split('"').next().unwrap();
    let dom = in_browser(&page, &format!("f=1&o={offset}")).unwrap();
    let hot = rows(&dom, "hot");
    let of =
        |pane: &str| hot.iter().filter(|row| row.0 == pane).map(|row| row.1.as_str()).collect::<Vec<_>>();
    assert_eq!(of("wasm").len(), 1, "{hot:?}");
    assert!(of("machine").iter().any(|text| text.starts_with("div")), "{hot:?}");
    let all = rows(&dom, "").into_iter().filter(|row| row.0 == "machine").count();
    assert!(of("machine").len() < all, "not everything is of the division");
}

/// A program in C, with the lines of its source.
#[test]
fn source_is_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let source = "int triple(int x)\n{\n    int sum = x + x;\n    return sum * x;\n}\nint main(int n, char **a)\n{\n    return triple(n) > 9;\n}\n";
    fs::write(directory.path().join("app.c"), source).unwrap();
    let clang = ["clang", "clang-19"].into_iter().find_map(|clang| {
        Command::new(clang)
            .args(["--target=wasm32-wasi", "-g", "-O1", "-fno-inline", "app.c", "-o", "app.wasm"])
            .current_dir(directory.path())
            .output()
            .ok()
            .filter(|output| output.status.success())
    });
    if clang.is_none() {
        assert!(std::env::var_os("CI").is_none(), "there is no clang for wasm32-wasi");
        println!("SKIPPED: there is no clang for wasm32-wasi");
        return;
    }
    let page =
        aot(directory.path(), &["explore", "app.wasm", "--funcs", "triple", "-C", "inlining=n", "-o", "-"])
            .unwrap();
    assert!(page.contains("return sum * x;"));
    fs::write(directory.path().join("page.html"), page).unwrap();
    let Some(dom) = in_browser(&directory.path().join("page.html"), "") else { return };
    let lines: Vec<String> =
        rows(&dom, "").into_iter().filter(|row| row.0 == "source").map(|row| row.1).collect();
    assert!(lines.iter().any(|line| line.contains("return sum * x;")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("return triple(n)")), "{lines:?}");
}

#[test]
fn bad_input_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app.wat"), MODULE).unwrap();
    fs::write(directory.path().join("bad.wasm"), b"\0asm\x01\0\0\0\x03").unwrap();
    let refused = |args: &[&str], why: &str| {
        let error = aot(directory.path(), args).unwrap_err();
        assert!(error.starts_with("error: ") && error.contains(why), "{error}");
    };
    refused(&["explore", "app.wat", "--funcs", "nothing"], "no function with code matches `nothing`");
    refused(&["explore", "bad.wasm"], "bad.wasm");
    refused(&["explore", "missing.wasm"], "missing.wasm");
    refused(&["explore", "app.wat", "--target", "wasm32-linux"], "wasm32-linux");
    assert!(!directory.path().join("app.html").exists());
}
