//! What this needs besides Rust, and how it gets it: Python tools, pinned, in `.local/python` and `.local/scanners`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::process;
use crate::ui::Ui;

/// A Python environment below `.local`.
struct Environment {
    name: &'static str,
    /// What it is made of.
    requirements: &'static str,
    holds: &'static str,
}

const PYTHON_TOOLS: Environment = Environment {
    name: "python",
    requirements: "xtask/python/requirements.txt",
    holds: "the local AWS and the AWS CLI",
};
const SCANNERS: Environment = Environment {
    name: "scanners",
    requirements: "xtask/python/scanners.txt",
    holds: "what looks for insecure settings",
};
/// The oldest that the pinned packages run on.
const PYTHON: (u32, u32) = (3, 11);

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Everything that is neither source nor built by cargo; nothing is installed anywhere else.
pub(crate) fn local() -> PathBuf {
    root().join(".local")
}

/// A program of the Python environment.
pub(crate) fn python_tool(name: &str) -> PathBuf {
    local().join("python/bin").join(name)
}

/// A program of the scanners' environment.
pub(crate) fn scanner(name: &str) -> PathBuf {
    local().join("scanners/bin").join(name)
}

/// The files in a directory whose names end so, in order.
pub(crate) fn files(directory: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Says in one line what is missing on this machine.
pub(crate) async fn check_machine() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the local AWS needs Linux: run this in a Linux virtual machine or container");
    }
    let mut cc = process::tied("cc");
    cc.arg("--version");
    if process::output(cc, "cc").await.is_err() {
        bail!(
            "a C compiler is missing: install it, for instance with `apt-get install gcc libc6-dev`"
        );
    }
    Ok(())
}

/// Installs a docker engine where that is a matter of one command: by root on a Debian or Ubuntu.
pub(crate) async fn install_docker(ui: &Ui) -> Result<()> {
    if program("dockerd").is_some()
        || program("apt-get").is_none()
        || !nix::unistd::Uid::effective().is_root()
    {
        return Ok(());
    }
    let step = ui.step(
        "Docker",
        "installing docker.io",
        Some("about a minute, once"),
    );
    apt_install(&["docker.io", "iproute2"]).await?;
    step.done("docker.io is installed");
    Ok(())
}

/// A browser, for the tests of the reports' pages.
pub(crate) struct Browser {
    pub(crate) program: PathBuf,
    /// Where what drives it is installed.
    pub(crate) modules: PathBuf,
}

/// Where Chromium is, by its names, or another that is built of it.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Finds a browser, installs it where that is a matter of one command, and installs what drives it into `.local/browser`.
pub(crate) async fn browser(ui: &Ui) -> Result<Browser> {
    let found = || CHROMIUM.iter().find_map(|name| program(name));
    if found().is_none() && program("apt-get").is_some() && nix::unistd::Uid::effective().is_root()
    {
        let step = ui.step(
            "Browser",
            "installing chromium",
            Some("about a minute, once"),
        );
        apt_install(&["chromium"]).await?;
        step.done("chromium is installed");
    }
    let program = found().context(
        "there is no Chromium on this machine: install it, for instance with `apt-get install chromium`",
    )?;
    let modules = local().join("browser");
    let pinned = |name: &str| std::fs::read(root().join("xtask/browser").join(name));
    let have = std::fs::read(modules.join("package-lock.json"));
    let complete = modules.join("node_modules/.package-lock.json").exists();
    if !complete || have.ok() != Some(pinned("package-lock.json")?) {
        std::fs::create_dir_all(&modules)?;
        for name in ["package.json", "package-lock.json"] {
            std::fs::write(modules.join(name), pinned(name)?)?;
        }
        let mut npm = process::tied("npm");
        npm.current_dir(&modules)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::output(npm, "npm ci")
            .await
            .context("what drives the browser cannot be installed: is Node.js 20 or newer there, and npm's registry reachable?")?;
    }
    Ok(Browser { program, modules })
}

/// A program on the PATH.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Installs packages of a Debian or Ubuntu.
async fn apt_install(packages: &[&str]) -> Result<()> {
    let install = ["install", "--yes", "--no-install-recommends"];
    for arguments in [vec!["update"], [&install[..], packages].concat()] {
        let mut apt = process::tied("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet")
            .args(arguments);
        process::output(apt, "apt-get").await?;
    }
    Ok(())
}

/// Makes the Python environment of the local AWS and of most lints.
pub(crate) async fn python(ui: &Ui) -> Result<()> {
    environment(ui, &PYTHON_TOOLS).await
}

/// Makes the Python environment of the scanners.
pub(crate) async fn scanners(ui: &Ui) -> Result<()> {
    environment(ui, &SCANNERS).await
}

/// Makes it, unless it is there and made of the same requirements.
async fn environment(ui: &Ui, environment: &Environment) -> Result<()> {
    let Environment {
        name,
        requirements,
        holds,
    } = environment;
    let requirements = root().join(requirements);
    let text = std::fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let wanted = format!("{:x?}", Sha256::digest(text).as_slice());
    let directory = local().join(name);
    let stamp = directory.join("requirements.sha256");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }

    check_python().await?;
    let step = ui.step(
        "Tools",
        &format!("installing {holds} into .local/{name}"),
        Some("about a minute, once"),
    );
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
        }
        _ => {}
    }
    let mut venv = process::tied("python3");
    venv.args(["-m", "venv"]).arg(&directory);
    process::output(venv, "python3 -m venv").await.context(
        "Python environments cannot be made: install venv, for instance with `apt-get install python3-venv`",
    )?;

    let mut pip = process::tied(directory.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .args(["--require-hashes", "--requirement"])
    .arg(&requirements);
    process::output(pip, "pip install")
        .await
        .context("the Python tools cannot be installed: is PyPI reachable from here?")?;
    std::fs::write(&stamp, wanted)?;
    step.done(&format!("Python tools are in .local/{name}"));
    Ok(())
}

async fn check_python() -> Result<()> {
    let (major, minor) = PYTHON;
    let advice = format!(
        "python3 ({major}.{minor} or newer) is missing: install it, for instance with `apt-get install python3 python3-venv`"
    );
    let mut command = process::tied("python3");
    command.args(["-c", "import sys; print(*sys.version_info[:2])"]);
    let version = process::output(command, "python3")
        .await
        .context(advice.clone())?;
    let mut parts = version.split(' ').map(|part| part.parse().unwrap_or(0));
    let found: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < PYTHON {
        bail!("{advice} (this machine has {}.{})", found.0, found.1);
    }
    Ok(())
}
