//! The build script of every function: links what Lambda runs at a fixed address.
//!
//! Tables of functions, which the SDK is full of, hold addresses. In a program that may be loaded anywhere the loader writes all
//! of them before `main`, 20,000 in the largest: a third of the instructions until a function is there, and 100 pages of memory
//! that are copied for it. The price is that the program's own code is where it always is, as in any Go program; stack, heap and
//! libraries are still placed at random, and what is ours has no `unsafe` code.
//!
//! A build script, as cargo-lambda (and so `sam build`) sets `RUSTFLAGS`, which the flags of `.cargo/config.toml` give way to.

fn main() {
    println!("cargo::rerun-if-changed=../link.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
