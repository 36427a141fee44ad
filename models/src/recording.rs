//! Recordings: raw ticks as the kubelet and the API server gave them, in one `.tar.zst`.
//!
//! One folder a tick, `20261122T131211Z/`, with `NODE.summary.json`, `NODE.cadvisor.txt`, `pods.json`, `events.json`,
//! `nodes.json` and now and then `deployments.json` and `replicasets.json`. The archive is solid and read as a stream,
//! one tick in memory at a time. A recording may come from anyone: names, sizes and kinds of entries are checked.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use tar::{Archive, Entry, EntryType, Header};

/// No real file of a recording is near this.
pub const MAX_FILE: u64 = 64 << 20;

/// A tick of 1000 nodes with their summaries is near this.
pub const MAX_TICK: usize = 512 << 20;

/// Kubernetes' own limit.
const MAX_NODES: usize = 5000;

/// What may stand between two files: their headers, a long name, padding.
const MAX_BETWEEN: u64 = 1 << 20;

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
    /// The stream is no zstd or tar.
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
    /// The stream broke off, or is no tar from there on.
    #[error("the recording breaks off at {at:?}: {source}; is it a whole .tar.zst file?")]
    Torn {
        /// The entry that is torn, or the last whole one.
        at: String,
        /// What the stream said.
        source: io::Error,
    },
    /// A tick comes after a later one, or a second time: ticks must be whole and in order.
    #[error("the recording holds {0:?} after a later tick; its folders must be in the order of time")]
    Order(String),
    /// One tick holds more than a large cluster has.
    #[error("the tick of {0:?} is larger than {MAX_TICK} bytes or has more than {MAX_NODES} nodes")]
    Tick(String),
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
    let left = Rc::new(Cell::new(MAX_BETWEEN));
    let stream = zstd::Decoder::new(reader).map_err(RecordingError::Read)?;
    let mut archive = Archive::new(Bounded { stream, left: Rc::clone(&left) });
    let (mut tick, mut held, mut last): (Option<Tick>, usize, Option<String>) = (None, 0, None);
    for entry in archive.entries().map_err(RecordingError::Read)? {
        let mut entry = entry.map_err(|source| match last.take() {
            Some(at) => RecordingError::Torn { at, source },
            None => RecordingError::Read(source),
        })?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let file = file(&mut entry, &name, &left)?;
        left.set(MAX_BETWEEN);
        if let Some(file) = file {
            if tick.as_ref().is_some_and(|tick| file.at < tick.at) {
                return Err(RecordingError::Order(name).into());
            }
            if let Some(whole) = tick.take_if(|tick| tick.at != file.at) {
                each(whole)?;
                held = 0;
            }
            held += file.body.len();
            let tick = tick.get_or_insert_with(|| Tick { at: file.at, ..Tick::default() });
            tick.put(file);
            if tick.nodes.len() > MAX_NODES || held > MAX_TICK {
                return Err(RecordingError::Tick(name).into());
            }
        }
        last = Some(name);
    }
    tick.map_or(Ok(()), each)
}

/// Gives out at most `left` bytes and then fails: `tar` takes the names and attributes before a file into memory
/// whatever their size, and reads over what is left of an entry.
struct Bounded<R> {
    stream: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more between two files than any recording has"));
        }
        let most = buffer.len().min(usize::try_from(self.left.get()).unwrap_or(usize::MAX));
        let read = self.stream.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

/// The file of an entry; `None` for a folder. `left` is raised to what the entry may hold.
fn file(entry: &mut Entry<impl Read>, name: &str, left: &Cell<u64>) -> Result<Option<File>, RecordingError> {
    match entry.header().entry_type() {
        EntryType::Directory => return Ok(None),
        EntryType::Regular | EntryType::Continuous => (),
        _ => return Err(RecordingError::Kind(name.to_owned())),
    }
    let (at, file) = place(name).ok_or_else(|| RecordingError::Name(name.to_owned()))?;
    let size = entry.size();
    if size > MAX_FILE {
        return Err(RecordingError::Size { name: name.to_owned(), size });
    }
    left.set(size);
    // The size is a claim: memory is taken as bytes come.
    let mut body = Vec::new();
    let torn = |source| RecordingError::Torn { at: name.to_owned(), source };
    let read = entry.read_to_end(&mut body).map_err(torn)?;
    if (read as u64) < size {
        return Err(torn(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(File { at, name: file.to_owned(), body }))
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
        let mut tar = archive_bytes(name, kind, size);
        tar.extend([0; 2048]);
        zstd::encode_all(&tar[..], 1).unwrap()
    }

    fn archive_bytes(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
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
    fn a_long_name_is_not_taken_into_memory_whatever_its_size() {
        let mut tar = archive_bytes("././@LongLink", EntryType::GNULongName, 2 * MAX_BETWEEN);
        tar.resize(tar.len() + 2 * MAX_BETWEEN as usize, b'a');
        let error = all(&zstd::encode_all(&tar[..], 1).unwrap()).unwrap_err();
        assert!(error.to_string().contains("more between two files than any recording has"), "{error}");
    }

    #[test]
    fn ticks_out_of_order_are_refused() {
        let mut writer = Writer::new(Vec::new(), 3).unwrap();
        for second in [0, 10, 0] {
            writer.append(&tick(second, b"1")).unwrap();
        }
        let error = all(&writer.finish().unwrap()).unwrap_err();
        assert!(matches!(&error, RecordingError::Order(name) if name.ends_with("node1.summary.json")), "{error}");
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_error_that_says_where() {
        // Bytes that do not compress, so that half of the archive is half of the tick.
        let noise: Vec<u8> = (0u32..300_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut writer = Writer::new(Vec::new(), 3).unwrap();
        writer.append(&tick(0, &noise)).unwrap();
        let whole = writer.finish().unwrap();
        let torn = all(&whole[..whole.len() / 2]).unwrap_err();
        assert!(matches!(&torn, RecordingError::Torn { at, .. } if at.ends_with("/pods.json")), "{torn}");
        let tar = zstd::decode_all(&whole[..]).unwrap();
        let torn = all(&zstd::encode_all(&tar[..tar.len() / 2], 1).unwrap()).unwrap_err();
        assert!(matches!(&torn, RecordingError::Torn { at, .. } if at.ends_with("/pods.json")), "{torn}");
        assert!(matches!(all(b"timestamp,namespace,pod"), Err(RecordingError::Read(_))));
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
