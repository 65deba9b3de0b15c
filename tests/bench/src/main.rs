//! Measures one part and writes what it found down.

fn main() -> anyhow::Result<()> {
    Ok(())
}
