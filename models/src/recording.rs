//! Recordings: raw ticks as the kubelet and the API server gave them, in one `.tar.zst`.
//!
//! One folder a tick, `20261122T131211Z/`, with `NODE.summary.json`, `NODE.cadvisor.txt`, `pods.json`, `events.json`,
//! `nodes.json` and now and then `deployments.json` and `replicasets.json`. The archive is solid and read as a stream,
//! one tick in memory at a time. A recording may come from anyone: names, sizes and kinds of entries are checked.

use std::io::{self, Read, Write};

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use tar::{Archive, Entry, EntryType, Header};

/// No real file of a recording is near this.
pub const MAX_FILE: u64 = 64 << 20;

/// A folder's name is the tick's time in UTC.
const FOLDER: &str = "%Y%m%dT%H%M%SZ";

/// Everything recorded at one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// When it was recorded.
    pub at: Timestamp,
    /// What each node's kubelet gave.
    pub nodes: Vec<NodeFiles>,
    /// A `PodList`.
    pub pods: Option<Vec<u8>>,
    /// An `EventList`.
    pub events: Option<Vec<u8>>,
    /// A `NodeList`.
    pub cluster_nodes: Option<Vec<u8>>,
    /// A `DeploymentList`.
    pub deployments: Option<Vec<u8>>,
    /// A `ReplicaSetList`.
    pub replicasets: Option<Vec<u8>>,
}

/// What one kubelet gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFiles {
    /// The node's name.
    pub node: String,
    /// Body of `/stats/summary`.
    pub summary: Option<Vec<u8>>,
    /// Body of `/metrics/cadvisor`.
    pub cadvisor: Option<Vec<u8>>,
}

/// Why a recording cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The stream broke off, or is no zstd or tar.
    #[error("the recording cannot be read: {0}; is it a whole .tar.zst file?")]
    Read(#[from] io::Error),
    /// An entry's name is not that of a file of a tick.
    #[error("the recording holds {0:?}, which is not a file of a tick (such as 20261122T131211Z/pods.json)")]
    Name(String),
    /// An entry that is neither a file nor a folder.
    #[error("the recording holds {0:?}, which is neither a file nor a folder")]
    Kind(String),
    /// An entry is too large to be real.
    #[error("the recording holds {name:?} of {size} bytes; {MAX_FILE} is the most")]
    Size {
        /// The entry.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
}

/// One file of a tick.
struct File {
    at: Timestamp,
    name: String,
    body: Vec<u8>,
}

/// Reads a `.tar.zst` stream and gives each tick to `each`, in their order; a tick is in memory only that long.
///
/// # Errors
/// What `each` returns, or why the recording cannot be read on; the ticks before it have been given by then.
pub fn read<E: From<RecordingError>>(reader: impl Read, mut each: impl FnMut(Tick) -> Result<(), E>) -> Result<(), E> {
    let mut archive = Archive::new(zstd::Decoder::new(reader).map_err(RecordingError::Read)?);
    let mut tick: Option<Tick> = None;
    for entry in archive.entries().map_err(RecordingError::Read)? {
        let Some(file) = file(&mut entry.map_err(RecordingError::Read)?)? else { continue };
        if let Some(whole) = tick.take_if(|tick| tick.at != file.at) {
            each(whole)?;
        }
        tick.get_or_insert_with(|| Tick { at: file.at, ..Tick::default() }).put(file);
    }
    tick.map_or(Ok(()), each)
}

/// The file of an entry; `None` for a folder.
fn file(entry: &mut Entry<impl Read>) -> Result<Option<File>, RecordingError> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    match entry.header().entry_type() {
        EntryType::Directory => return Ok(None),
        EntryType::Regular | EntryType::Continuous => (),
        _ => return Err(RecordingError::Kind(name)),
    }
    let (at, file) = place(&name).ok_or_else(|| RecordingError::Name(name.clone()))?;
    let size = entry.size();
    if size > MAX_FILE {
        return Err(RecordingError::Size { name, size });
    }
    let file = file.to_owned();
    // The size is a claim: memory is taken as bytes come.
    let mut body = Vec::new();
    entry.read_to_end(&mut body)?;
    Ok(Some(File { at, name: file, body }))
}

/// Time and file name of `[./]20261122T131211Z/pods.json`; `None` for any other path, be it absolute or with `..`.
fn place(path: &str) -> Option<(Timestamp, &str)> {
    let (folder, file) = path.strip_prefix("./").unwrap_or(path).split_once('/')?;
    let at = strtime::parse(FOLDER, folder).ok()?.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!file.is_empty() && !file.starts_with('.') && file.chars().all(plain)).then_some((at, file))
}

impl Tick {
    fn put(&mut self, file: File) {
        let body = Some(file.body);
        match file.name.as_str() {
            "pods.json" => self.pods = body,
            "events.json" => self.events = body,
            "nodes.json" => self.cluster_nodes = body,
            "deployments.json" => self.deployments = body,
            "replicasets.json" => self.replicasets = body,
            name => {
                if let Some(node) = name.strip_suffix(".summary.json") {
                    self.node(node).summary = body;
                } else if let Some(node) = name.strip_suffix(".cadvisor.txt") {
                    self.node(node).cadvisor = body;
                }
            }
        }
    }

    fn node(&mut self, name: &str) -> &mut NodeFiles {
        let found = self.nodes.iter().position(|n| n.node == name);
        let index = found.unwrap_or_else(|| {
            self.nodes.push(NodeFiles { node: name.to_owned(), ..NodeFiles::default() });
            self.nodes.len() - 1
        });
        &mut self.nodes[index]
    }

    /// The files of this tick, in a fixed order.
    fn files(&self) -> impl Iterator<Item = (String, &[u8])> {
        let nodes = self.nodes.iter().flat_map(|n| {
            [("summary.json", &n.summary), ("cadvisor.txt", &n.cadvisor)]
                .map(|(end, b)| (format!("{}.{end}", n.node), b))
        });
        let lists = [
            ("pods.json", &self.pods),
            ("events.json", &self.events),
            ("nodes.json", &self.cluster_nodes),
            ("deployments.json", &self.deployments),
            ("replicasets.json", &self.replicasets),
        ];
        let lists = lists.into_iter().map(|(name, body)| (name.to_owned(), body));
        nodes.chain(lists).filter_map(|(name, body)| Some((name, body.as_deref()?)))
    }
}

/// Writes a recording.
pub struct Writer<W: Write> {
    archive: tar::Builder<zstd::Encoder<'static, W>>,
}

impl<W: Write> Writer<W> {
    /// Begins a recording; `level` as zstd's (19 for what is shipped, 3 for speed).
    ///
    /// # Errors
    /// If zstd refuses the level.
    pub fn new(writer: W, level: i32) -> io::Result<Self> {
        Ok(Self { archive: tar::Builder::new(zstd::Encoder::new(writer, level)?) })
    }

    /// Appends a tick; ticks are to be given in their order.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn append(&mut self, tick: &Tick) -> io::Result<()> {
        let folder = tick.at.strftime(FOLDER).to_string();
        for (name, body) in tick.files() {
            let mut header = Header::new_gnu();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            self.archive.append_data(&mut header, format!("{folder}/{name}"), body)?;
        }
        Ok(())
    }

    /// Ends the recording and gives the writer back.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn finish(self) -> io::Result<W> {
        self.archive.into_inner()?.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(second: i64, pods: &[u8]) -> Tick {
        let node = |name: &str| NodeFiles {
            node: name.into(),
            summary: Some(b"{}".to_vec()),
            cadvisor: Some(b"# HELP\n".to_vec()),
        };
        Tick {
            at: Timestamp::from_second(1_795_356_000 + second).unwrap(),
            nodes: vec![node("node1"), node("node-2.example")],
            pods: Some(pods.to_vec()),
            ..Tick::default()
        }
    }

    fn all(bytes: &[u8]) -> Result<Vec<Tick>, RecordingError> {
        let mut ticks = Vec::new();
        read(bytes, |tick| {
            ticks.push(tick);
            Ok::<(), RecordingError>(())
        })?;
        Ok(ticks)
    }

    /// An archive with one entry, written byte by byte as an attacker would.
    fn archive(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.extend([0; 2048]);
        zstd::encode_all(&tar[..], 1).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let ticks = [tick(0, b"{\"items\": []}"), tick(10, b"[]")];
        let mut writer = Writer::new(Vec::new(), 3).unwrap();
        for tick in &ticks {
            writer.append(tick).unwrap();
        }
        assert_eq!(all(&writer.finish().unwrap()).unwrap(), ticks);
    }

    #[test]
    fn names_that_are_no_file_of_a_tick_are_refused() {
        for name in [
            "/etc/passwd",
            "../x",
            "20261122T131211Z/../../x",
            "20261122T131211Z/a/b",
            "pods.json",
            "20261322T000000Z/pods.json",
            "20261122T131211Z/.x",
        ] {
            let error = all(&archive(name, EntryType::Regular, 0)).unwrap_err();
            assert!(matches!(&error, RecordingError::Name(named) if named == name), "{name}: {error}");
        }
    }

    #[test]
    fn links_and_devices_are_refused() {
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
            let error = all(&archive("20261122T131211Z/pods.json", kind, 0)).unwrap_err();
            assert!(matches!(error, RecordingError::Kind(_)), "{kind:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_claims_to_be_huge_is_refused_before_it_is_read() {
        let error = all(&archive("20261122T131211Z/pods.json", EntryType::Regular, MAX_FILE + 1)).unwrap_err();
        assert!(matches!(error, RecordingError::Size { size, .. } if size == MAX_FILE + 1));
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_error_and_no_panic() {
        let mut writer = Writer::new(Vec::new(), 3).unwrap();
        writer.append(&tick(0, &[7; 10_000])).unwrap();
        let whole = writer.finish().unwrap();
        assert!(all(&whole[..whole.len() / 2]).is_err());
        assert!(all(b"timestamp,namespace,pod").is_err());
    }

    #[test]
    fn the_caller_may_stop() {
        #[derive(Debug)]
        struct Stop;
        impl From<RecordingError> for Stop {
            fn from(_: RecordingError) -> Self {
                unreachable!("the recording is whole")
            }
        }
        let mut writer = Writer::new(Vec::new(), 3).unwrap();
        writer.append(&tick(0, b"1")).unwrap();
        writer.append(&tick(1, b"2")).unwrap();
        let bytes = writer.finish().unwrap();
        let mut seen = 0;
        let stopped = read(&bytes[..], |_| {
            seen += 1;
            Err(Stop)
        });
        assert!(stopped.is_err() && seen == 1);
    }
}
