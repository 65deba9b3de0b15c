use std::io::Write;
use std::os::unix::fs::MetadataExt;

use exuvia_core::archive::{Compression, LayerRef};
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

/// Layers and an image of them, unpacked in a directory of its own.
struct Case {
    directory: PathBuf,
    work: PathBuf,
    layers: Vec<Vec<u8>>,
}

/// An entry of a layer: path, kind, content or link target, mode.
type Made<'a> = (&'a str, EntryType, &'a str, u32);

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const SYM: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

fn layer(entries: &[Made<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, text, mode) in entries {
        let mut header = Header::new_gnu();
        // Written as it is: the crate would refuse a path that leads out.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(nix::unistd::Uid::effective().as_raw().into());
        header.set_gid(nix::unistd::Gid::effective().as_raw().into());
        header.set_mtime(1_000_000_000);
        let is_link = matches!(*kind, SYM | HARD);
        let data = if is_link { "" } else { text };
        if is_link {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

impl Case {
    fn new(name: &str, layers: &[&[Made<'_>]]) -> Self {
        let name = format!("exuvia-layers-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        remove_all(&directory).unwrap();
        fs::create_dir_all(directory.join("outside")).unwrap();
        fs::write(directory.join("outside/secret"), "secret").unwrap();
        fs::set_permissions(directory.join("outside"), Permissions::from_mode(0o755)).unwrap();
        let work = directory.join("work");
        fs::create_dir_all(&work).unwrap();
        Self {
            directory,
            work,
            layers: layers.iter().map(|entries| layer(entries)).collect(),
        }
    }

    fn unpack(&self) -> io::Result<()> {
        let mut tar = Builder::new(Vec::new());
        // The last first: the order in the archive says nothing.
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let mut header = Header::new_gnu();
            header.set_size(layer.len() as u64);
            tar.append_data(&mut header, format!("{i}/layer.tar"), &layer[..])?;
        }
        fs::write(self.work.join("archive"), gzip(&tar.into_inner()?))?;
        let layers = (0..self.layers.len()).map(|i| LayerRef {
            path: format!("{i}/layer.tar"),
            compression: Compression::None,
        });
        let image = Image {
            tag: None,
            architecture: String::new(),
            os: "linux".into(),
            entrypoint: vec!["/app".into()],
            command: vec![],
            env: vec![],
            working_dir: String::new(),
            user: String::new(),
            exposed_ports: vec![],
            stop_signal: None,
            layers: layers.collect(),
        };
        unpack(&self.work, &image)
    }

    /// What is there: `path`, `path -> target` or `path = content`.
    fn tree(&self) -> Vec<String> {
        fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                let name = path.strip_prefix(root).unwrap().display();
                if kind.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    found.push(format!("{name} -> {}", target.display()));
                } else if kind.is_dir() {
                    found.push(format!("{name}/"));
                    walk(root, &path, found);
                } else {
                    found.push(format!("{name} = {}", fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        let root = self.work.join("rootfs");
        walk(&root, &root, &mut found);
        found.sort();
        found
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.work.join("rootfs").join(path))
            .unwrap()
            .mode()
            & 0o7777
    }

    /// Nothing outside was touched.
    fn assert_outside_is_as_it_was(&self) {
        let outside = self.directory.join("outside");
        let names: Vec<_> = fs::read_dir(&outside)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(
            fs::read_to_string(outside.join("secret")).unwrap(),
            "secret"
        );
        assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o755);
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        remove_all(&self.directory).unwrap();
    }
}

#[test]
fn layers_lie_over_one_another() {
    let case = Case::new(
        "lie-over",
        &[
            &[
                ("bin/", DIR, "", 0o755),
                ("bin/sh", FILE, "old shell", 0o755),
                ("etc/gone", FILE, "x", 0o644),
                ("etc/kept", FILE, "kept", 0o644),
                ("srv/a/b", FILE, "x", 0o644),
                ("srv/c", FILE, "x", 0o644),
                ("was-file", FILE, "x", 0o644),
                ("was-dir/x", FILE, "x", 0o644),
            ],
            &[
                ("./bin/sh", FILE, "new shell", 0o4755),
                ("bin/bash", HARD, "bin/sh", 0o755),
                ("usr-bin", SYM, "bin", 0o777),
                ("usr-bin/ls", FILE, "through a link", 0o755),
                ("etc/.wh.gone", FILE, "", 0o644),
                ("srv/d", FILE, "before the mark", 0o644),
                ("srv/.wh..wh..opq", FILE, "", 0o644),
                ("srv/a/new", FILE, "after the mark", 0o644),
                (".wh..wh.aufs", FILE, "", 0o644),
                ("was-file/", DIR, "", 0o700),
                ("was-dir", FILE, "now a file", 0o644),
                ("closed/", DIR, "", 0o555),
                ("closed/inside", FILE, "written before it closed", 0o400),
            ],
        ],
    );
    case.unpack().unwrap();
    assert_eq!(
        case.tree(),
        [
            "bin/",
            "bin/bash = new shell",
            "bin/ls = through a link",
            "bin/sh = new shell",
            "closed/",
            "closed/inside = written before it closed",
            "etc/",
            "etc/kept = kept",
            "srv/",
            "srv/a/",
            "srv/a/new = after the mark",
            "srv/d = before the mark",
            "usr-bin -> bin",
            "was-dir = now a file",
            "was-file/",
        ]
    );
    let modes = ["bin/sh", "closed", "was-file", "closed/inside"].map(|path| case.mode(path));
    assert_eq!(modes, [0o4755, 0o555, 0o700, 0o400]);
    assert!(!case.work.join("layers").exists());
}

#[test]
fn hostile_links_lead_nowhere() {
    // Each case tries to write, remove or change something in `outside`, two levels above the root.
    let absolute = std::env::temp_dir().join(format!(
        "exuvia-layers-absolute-{}/outside",
        std::process::id()
    ));
    let absolute = absolute.to_str().unwrap();
    let cases: &[(&str, &[&[Made<'_>]])] = &[
        (
            "absolute",
            &[&[
                ("x", SYM, absolute, 0o777),
                ("x/secret", FILE, "written", 0o644),
            ]],
        ),
        (
            "relative",
            &[&[
                ("x", SYM, "../../outside", 0o777),
                ("x/new", FILE, "written", 0o644),
            ]],
        ),
        (
            "two",
            &[&[
                ("a", SYM, "..", 0o777),
                ("b", SYM, "a/../outside", 0o777),
                ("b/secret", FILE, "w", 0o644),
            ]],
        ),
        (
            "whiteout",
            &[&[
                ("x", SYM, "../../outside", 0o777),
                ("x/.wh.secret", FILE, "", 0o644),
            ]],
        ),
        (
            "opaque",
            &[&[
                ("x", SYM, "../../outside", 0o777),
                ("x/.wh..wh..opq", FILE, "", 0o644),
            ]],
        ),
        (
            "over",
            &[
                &[("x", SYM, "../../outside/secret", 0o777)],
                &[("x", FILE, "written", 0o600)],
            ],
        ),
        (
            "mode",
            &[
                &[("x/outside/", DIR, "", 0o700)],
                &[("x", SYM, "../..", 0o777)],
            ],
        ),
        (
            "hard",
            &[&[
                ("x", SYM, "../../outside", 0o777),
                ("y", HARD, "x/secret", 0o644),
            ]],
        ),
        ("hard-up", &[&[("y", HARD, "../../outside/secret", 0o644)]]),
        ("up", &[&[("../../outside/new", FILE, "written", 0o644)]]),
        (
            "up-inside",
            &[&[("x/../../../outside/new", FILE, "written", 0o644)]],
        ),
        (
            "ring",
            &[&[
                ("x", SYM, "y", 0o777),
                ("y", SYM, "x", 0o777),
                ("x/new", FILE, "written", 0o644),
            ]],
        ),
    ];
    for (name, layers) in cases {
        let case = Case::new(name, layers);
        let outcome = case.unpack();
        case.assert_outside_is_as_it_was();
        let refused = ["hard", "hard-up", "up", "up-inside", "ring"].contains(name);
        assert_eq!(outcome.is_err(), refused, "{name}: {outcome:?}");
    }
}

#[test]
fn layers_may_be_compressed_each_in_its_way() {
    let mut case = Case::new(
        "compressed",
        &[&[("a", FILE, "1", 0o644)], &[("b", FILE, "2", 0o644)]],
    );
    case.layers[0] = gzip(&case.layers[0]);
    case.unpack().unwrap();
    assert_eq!(case.tree(), ["a = 1", "b = 2"]);
    case.layers[1].truncate(600);
    let error = case.unpack().unwrap_err().to_string();
    assert!(error.starts_with("1/layer.tar: "), "{error}");
}
