use std::os::unix::fs::symlink;

use super::*;

struct Root(Rootfs);

impl Root {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("exuvia-command-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self(Rootfs::new(root))
    }

    fn file(self, path: &str, text: &str, mode: u32) -> Self {
        let path = self.0.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.0.root().join(path)).unwrap();
        self
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fs::remove_dir_all(self.0.root()).unwrap();
    }
}

#[test]
fn an_environment_file_is_read_as_docker_reads_it() {
    let mut env = Environment::default();
    env.set("A", "from the image");
    let file =
        "\u{feff}# comment\n\nA=b\r\n  B = c \nC=\"quoted $A\" # no comment\nD=\nE\nF=x=y\n A2=z";
    let refused = env.clone().read_file(file.as_bytes());
    assert_eq!(
        refused.unwrap_err(),
        "config.env, line 4: the name before `=` is empty or has a space"
    );
    let file = file.replace("  B = c ", "  B= c ");
    env.read_file(file.as_bytes()).unwrap();
    let pairs: Vec<String> = env
        .into_pairs()
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(
        pairs,
        [
            "A=b",
            "B= c ",
            "C=\"quoted $A\" # no comment",
            "D=",
            "F=x=y",
            "A2=z"
        ]
    );
    for file in [&b"=x"[..], b"A=\xff"] {
        Environment::default().read_file(file).unwrap_err();
    }
}

#[test]
fn the_user_is_found_in_the_image() {
    let root = Root::new("user")
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n",
            0o644,
        )
        .file(
            "etc/group",
            "root:x:0:\nweb:x:80:app,other\nlogs:x:81:other\n",
            0o644,
        );
    let found = |name: &str| user(&root.0, name).map(|u| (u.uid, u.gid, u.groups, u.home));
    let app = |gid| Ok((1000, gid, vec![80], "/home/app".to_owned()));
    for (name, expected) in [
        ("", Ok((0, 0, vec![], "/root".to_owned()))),
        ("app", app(1001)),
        ("1000", app(1001)),
        ("app:web", app(80)),
        ("app:7", app(7)),
        ("4000", Ok((4000, 0, vec![], "/".to_owned()))),
        ("4000:4001", Ok((4000, 4001, vec![], "/".to_owned()))),
    ] {
        assert_eq!(found(name), expected, "{name}");
    }
    assert!(found("nobody").unwrap_err().contains("/etc/passwd"));
    assert!(found("app:nobody").unwrap_err().contains("/etc/group"));
}

#[test]
fn the_program_is_found_as_in_the_container() {
    let root = Root::new("find")
        .file("usr/bin/app", "", 0o755)
        .file("usr/bin/text", "", 0o644)
        .file("srv/run", "", 0o755)
        .link("bin", "/usr/bin")
        .link("app", "/usr/bin/app");
    let find = |program| {
        find(
            &root.0,
            program,
            "/nowhere::/srv/run:/bin",
            Path::new("/srv"),
        )
    };
    assert_eq!(find("app"), Ok("/bin/app".to_owned()));
    assert_eq!(find("/app"), Ok("/app".to_owned()));
    assert_eq!(find("./run"), Ok("/srv/./run".to_owned()));
    for (program, says) in [
        ("text", "/bin/text in the image is not an executable file"),
        ("/srv", "/srv in the image is not an executable file"),
        ("/bin/none", "/bin/none is not in the image"),
        ("none", "not in the image's PATH"),
        ("", "not in the image"),
    ] {
        let error = find(program).unwrap_err();
        assert!(error.contains(says), "{program}: {error}");
    }
}
