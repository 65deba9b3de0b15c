//! From the archive's metadata to the one image in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::compression::Compression;
use super::contents::Contents;
use super::error::{NotAnImage, shown};
use crate::target::Architecture;

/// An image: how it is to be run, and where its layers are.
///
/// The words are those of the [image configuration](https://github.com/opencontainers/image-spec/blob/main/config.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The first name it was saved under, such as `hello:3f2a1c`.
    pub tag: Option<String>,
    /// In Go's words: `arm64`, `amd64`.
    pub architecture: String,
    /// Always `linux`.
    pub os: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Empty: the root.
    pub working_dir: String,
    /// As USER gave it (`name`, `name:group`, `1000:1000`); empty: root.
    pub user: String,
    /// Such as `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// Such as `SIGTERM` or `15`.
    pub stop_signal: Option<String>,
    /// The lowest first.
    pub layers: Vec<LayerRef>,
}

/// A layer, as a file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRef {
    /// Normalized (no `./`), and where the file really is, not a link to it.
    pub path: String,
    pub compression: Compression,
}

impl Image {
    /// ENTRYPOINT and CMD together; never empty.
    pub fn command_line(&self) -> impl Iterator<Item = &str> {
        self.entrypoint
            .iter()
            .chain(&self.command)
            .map(String::as_str)
    }

    /// Refuses an image that `instances` cannot run.
    pub fn check_runs_on(&self, instances: Architecture) -> Result<(), NotAnImage> {
        if instances.runs(&self.architecture) {
            return Ok(());
        }
        Err(NotAnImage::OtherArchitecture {
            found: shown(&self.architecture),
            instances,
        })
    }
}

/// Finds the image in `contents` and checks that all of it is there.
pub(super) fn assemble(contents: &Contents) -> Result<Image, NotAnImage> {
    let source = if contents.file("manifest.json").is_some() {
        from_docker(contents)?
    } else if contents.file("index.json").is_some() {
        from_oci(contents)?
    } else {
        return Err(NotAnImage::NoImage {
            found: contents.summary(),
        });
    };
    let config: ImageConfig = contents.json(&source.config)?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(NotAnImage::UnsupportedOs {
            os: shown(&config.os),
        });
    }
    let layers: Vec<LayerRef> = source
        .layers
        .iter()
        .map(|layer| match contents.file(layer) {
            Some((path, file)) => Ok(LayerRef {
                path: path.to_owned(),
                compression: file.compression,
            }),
            None => Err(NotAnImage::LayerMissing {
                layer: shown(layer),
            }),
        })
        .collect::<Result<_, _>>()?;
    if layers.is_empty() {
        return Err(NotAnImage::NoLayers);
    }
    let diffs = config.rootfs.unwrap_or_default().diff_ids.len();
    if diffs > 0 && diffs != layers.len() {
        return Err(NotAnImage::UnreadableMetadata {
            path: shown(&source.config),
            why: format!("it counts {diffs} layers and the manifest {}", layers.len()),
        });
    }
    let run = config.config.unwrap_or_default();
    // `ENTRYPOINT [""]` is how an image takes back the one that it was built from.
    let without_blank = |words: Option<Vec<String>>| match words {
        Some(words) if words.first().is_some_and(|word| !word.is_empty()) => words,
        _ => Vec::new(),
    };
    let image = Image {
        tag: source.tag,
        architecture: config.architecture,
        os: "linux".to_owned(),
        entrypoint: without_blank(run.entrypoint),
        command: without_blank(run.cmd),
        env: run.env.unwrap_or_default(),
        working_dir: run.working_dir.unwrap_or_default(),
        user: run.user.unwrap_or_default(),
        exposed_ports: run
            .exposed_ports
            .into_iter()
            .flatten()
            .map(|(port, _)| port)
            .collect(),
        stop_signal: run.stop_signal.filter(|signal| !signal.is_empty()),
        layers,
    };
    if image.command_line().next().is_none() {
        return Err(NotAnImage::NoCommand);
    }
    Ok(image)
}

/// Where the parts of the image are in the archive.
struct Source {
    tag: Option<String>,
    config: String,
    layers: Vec<String>,
}

fn from_docker(contents: &Contents) -> Result<Source, NotAnImage> {
    let mut images: Vec<DockerManifest> = contents.json("manifest.json")?;
    if images.len() > 1 {
        let names = images.iter().map(|image| {
            let tag = image.repo_tags.iter().flatten().next();
            shown(tag.unwrap_or(&image.config))
        });
        return Err(NotAnImage::SeveralImages {
            names: names.take(20).collect(),
        });
    }
    let Some(image) = images.pop() else {
        return Err(NotAnImage::NoImage {
            found: "its manifest.json lists none".to_owned(),
        });
    };
    Ok(Source {
        tag: image.repo_tags.into_iter().flatten().next(),
        config: image.config,
        layers: image.layers.unwrap_or_default(),
    })
}

fn from_oci(contents: &Contents) -> Result<Source, NotAnImage> {
    let mut images = oci_images(contents)?;
    // An index lists all platforms of an image, also those that were not saved.
    if images
        .iter()
        .any(|image| contents.file(&image.path).is_some())
    {
        images.retain(|image| contents.file(&image.path).is_some());
    }
    if images.len() > 1 {
        return Err(NotAnImage::SeveralImages {
            names: images.into_iter().take(20).map(OciImage::name).collect(),
        });
    }
    let Some(image) = images.pop() else {
        return Err(NotAnImage::NoImage {
            found: "its index.json lists none".to_owned(),
        });
    };
    let manifest: OciManifest = contents.json(&image.path)?;
    Ok(Source {
        tag: image.tag,
        config: blob(&manifest.config.digest),
        layers: manifest.layers.iter().map(|l| blob(&l.digest)).collect(),
    })
}

struct OciImage {
    tag: Option<String>,
    platform: Option<Platform>,
    path: String,
}

impl OciImage {
    fn name(self) -> String {
        let name = shown(&self.tag.unwrap_or(self.path));
        match self.platform {
            Some(p) => format!("{name} for {}/{}", shown(&p.os), shown(&p.architecture)),
            None => name,
        }
    }
}

/// The images that index.json leads to, through nested indexes (one image for several platforms).
fn oci_images(contents: &Contents) -> Result<Vec<OciImage>, NotAnImage> {
    let index: OciIndex = contents.json("index.json")?;
    let mut images = Vec::new();
    let mut left: Vec<(Option<String>, Descriptor)> =
        index.manifests.into_iter().map(|d| (None, d)).collect();
    let mut seen = 0;
    while let Some((tag, descriptor)) = left.pop() {
        // An index may name itself; nobody's image has a thousand variants.
        seen += 1;
        if seen > 1000 {
            return Err(NotAnImage::UnreadableMetadata {
                path: "index.json".to_owned(),
                why: "it leads to more than 1000 manifests".to_owned(),
            });
        }
        let annotations = descriptor.annotations.unwrap_or_default();
        // What buildx says of how the image was built is listed beside it, as if it were an image.
        if annotations.contains_key("vnd.docker.reference.type") {
            continue;
        }
        let tag = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ]
        .iter()
        .find_map(|key| annotations.get(*key).cloned())
        .or(tag);
        let path = blob(&descriptor.digest);
        let nested = match contents.file(&path) {
            Some(_) => contents.json::<OciNested>(&path)?.manifests,
            None => None,
        };
        match nested {
            Some(nested) => left.extend(nested.into_iter().map(|d| (tag.clone(), d))),
            None => images.push(OciImage {
                tag,
                platform: descriptor.platform,
                path,
            }),
        }
    }
    images.reverse();
    Ok(images)
}

/// `sha256:abc` is at `blobs/sha256/abc`.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<Descriptor>,
}

/// An index if it has `manifests`, else a manifest.
#[derive(Deserialize)]
struct OciNested {
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct ImageConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<RunConfig>,
    rootfs: Option<RootFs>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<serde_json::Map<String, serde_json::Value>>,
    stop_signal: Option<String>,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<IgnoredAny>,
}
