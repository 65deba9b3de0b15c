//! Images from `docker build` and `docker save`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use exuvia_end_to_end::image::{Image, static_hello};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Where they are, once they are built.
static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

/// One that `build.sh` makes.
pub(crate) async fn image(name: &str) -> Image {
    let directory = BUILT.get_or_init(build).await;
    let path = directory.join(format!("{name}.tar.gz"));
    Image::of_bytes(
        &std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
}

async fn build() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = here.join("../../target");
    let directory = target.join("images/built");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let directory = std::fs::canonicalize(directory).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--fork", "--kill-child"])
        .args(["--mount-proc", "bash"])
        .arg(here.join("tests/docker/build.sh"))
        .arg(&directory)
        .arg(static_hello())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory
}
