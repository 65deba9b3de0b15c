//! What `docker save` writes, as small as it can be.

use serde_json::json;

/// An image whose one layer holds that name, so that no two have the same bytes.
pub fn image(name: &str) -> Vec<u8> {
    let layer = archive(&[("app", name.as_bytes())]);
    let config = json!({
        "architecture": "arm64",
        "os": "linux",
        "config": { "Cmd": ["/app"] },
        "rootfs": { "type": "layers", "diff_ids": ["sha256:0"] },
    });
    let manifest = json!([{
        "Config": "config.json",
        "RepoTags": [format!("hello:{name}")],
        "Layers": ["layer.tar"],
    }]);
    archive(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
    ])
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o755);
        // Writing to memory does not fail.
        let _ = builder.append_data(&mut header, path, *body);
    }
    builder.into_inner().unwrap_or_default()
}
