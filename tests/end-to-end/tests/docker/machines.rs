//! Machines from outside: what is to go wrong with them, what they said, and what is left of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::setting;
use serde_json::Value;

/// A machine takes real time, which is ten times as long for the cloud; on a busy computer it takes minutes.
const PATIENT: [&str; 3] = [
    "BootSeconds=6000",
    "BakeSeconds=20",
    if cfg!(target_arch = "x86_64") {
        "Architecture=x86_64"
    } else {
        "Architecture=arm64"
    },
];
/// One instance is enough to fail.
pub(crate) const ONE: [&str; 2] = ["MinSize=1", "InitialSize=1"];

/// An app of this many instances, with more parameters.
pub(crate) async fn app_with(name: &str, parameters: &[&str]) -> App {
    App::with_parameters(
        name,
        &[&PATIENT[..], &["RenewalSchedule="], parameters].concat(),
    )
    .await
}

/// An app of one instance, whose machines have these faults.
pub(crate) async fn app(name: &str, faults: Value) -> App {
    go_wrong(name, &faults);
    app_with(name, &ONE).await
}

/// What is to go wrong with the machines of an app from now on.
pub(crate) fn go_wrong(app: &str, faults: &Value) {
    let directory = cloud().join("faults");
    fs::create_dir_all(&directory).unwrap();
    fs::write(
        directory.join(format!("{app}-test.json")),
        faults.to_string(),
    )
    .unwrap();
}

fn cloud() -> PathBuf {
    setting("EXUVIA_CLOUD_DIRECTORY").into()
}

/// All the app's machines so far, and what they said on their consoles.
pub(crate) fn consoles(app: &App) -> Vec<(String, String)> {
    let group = format!("in the group {}-{}-", app.place.app, app.place.environment);
    let instances = fs::read_dir(cloud().join("instances")).unwrap().flatten();
    instances
        .filter_map(|instance| {
            let said = fs::read(instance.path().join("log")).ok()?;
            let said = String::from_utf8_lossy(&said).into_owned();
            let ours = said
                .lines()
                .next()
                .is_some_and(|line| line.contains(&group));
            ours.then(|| (instance.file_name().into_string().unwrap(), said))
        })
        .collect()
}

/// Asserts that of the app's machines only those are left that it has: no process, file or control group.
pub(crate) async fn nothing_is_left_but(app: &App, live: &[String]) {
    let mut gone = consoles(app);
    gone.retain(|(id, _)| !live.contains(id));
    let left = || {
        let mut left = Vec::new();
        for (id, _) in &gone {
            let work = cloud().join("instances").join(id).join("work");
            left.extend(work.exists().then(|| work.display().to_string()));
            left.extend(process(id).map(|process| process.display().to_string()));
            left.extend(
                control_groups(id)
                    .iter()
                    .map(|path| path.display().to_string()),
            );
        }
        left
    };
    // A group is gone when its instances are shutting down.
    for _ in 0..200 {
        if left().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("left over: {:?}", left());
}

/// The machine's process 1, by its directory in /proc.
pub(crate) fn process(id: &str) -> Option<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.map(|process| process.path()).find(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("machine-init") && line.contains(id)
    })
}

fn control_groups(id: &str) -> Vec<PathBuf> {
    let trees = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let mut groups: Vec<PathBuf> = trees
        .map(|tree| tree.path().join("exuvia").join(id))
        .collect();
    groups.push(Path::new("/sys/fs/cgroup/exuvia").join(id));
    groups.retain(|group| group.exists());
    groups
}

/// Files below that hold this text, and whether others than root may read them.
pub(crate) fn files_with(text: &str, below: &Path) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    let mut left = vec![(below.to_owned(), true)];
    while let Some((path, open)) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mode = metadata.permissions().mode();
        if metadata.is_dir() {
            let open = open && mode & 0o011 != 0;
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| (entry.path(), open)));
        } else if metadata.is_file()
            && fs::read(&path).is_ok_and(|bytes| contains(&bytes, text.as_bytes()))
        {
            found.push((path, open && mode & 0o044 != 0));
        }
    }
    found
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The directory of a machine, on this computer.
pub(crate) fn work(id: &str) -> PathBuf {
    cloud().join("instances").join(id).join("work")
}
