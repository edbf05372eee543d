//! The file that is being written: whole chunks or nothing of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use domain::RequestId;

use super::super::folder::{open_file, segment_path};
use super::super::frame::without_openings;

/// Frames that go to one segment together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) segment: u64,
    pub(super) bytes: Vec<u8>,
    /// The requests that are opened here and wait for it.
    pub(super) opens: Vec<RequestId>,
}

impl Chunk {
    pub(super) fn is_for(&self, segment: u64) -> bool {
        self.segment == segment
    }

    pub(super) fn push(&mut self, segment: u64, frame: &[u8]) {
        self.segment = segment;
        self.bytes.extend_from_slice(frame);
    }

    /// Drops frames that open requests; gives the number of their bytes.
    pub(super) fn drop_openings(&mut self) -> usize {
        let kept = without_openings(&self.bytes);
        let dropped = self.bytes.len() - kept.len();
        self.bytes = kept;
        dropped
    }

    /// Empty, with its memory for the next one.
    pub(super) fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.opens.clear();
        self
    }
}

/// Writes chunks, segment after segment.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
    segment: u64,
    file: Option<Arc<File>>,
    /// Bytes of the file that are whole chunks.
    length: u64,
    /// There is more in the file than that.
    is_torn: bool,
    /// Files written to since they were last asked for, by segment.
    touched: Vec<(u64, Arc<File>)>,
}

/// Not everything was written.
#[derive(Debug)]
pub(super) struct Failure {
    /// Chunks that were.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl Output {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, segment: 0, file: None, length: 0, is_torn: false, touched: Vec::new() }
    }

    pub(super) fn write(&mut self, chunks: &[Chunk]) -> Result<(), Failure> {
        for (written, chunk) in chunks.iter().enumerate() {
            self.write_chunk(chunk).map_err(|error| Failure { written, error })?;
        }
        Ok(())
    }

    /// The files to sync, by segment, and whether there are new ones among them.
    pub(super) fn take_touched(&mut self) -> (Vec<(u64, Arc<File>)>, bool) {
        let mut files = std::mem::take(&mut self.touched);
        let are_new = !files.is_empty();
        if let Some(file) = &self.file
            && files.iter().all(|(segment, _)| *segment != self.segment)
        {
            files.push((self.segment, file.clone()));
        }
        (files, are_new)
    }

    /// Those files could not be synced; they are touched still.
    pub(super) fn give_back(&mut self, mut files: Vec<(u64, Arc<File>)>) {
        files.retain(|(segment, _)| self.touched.iter().all(|(touched, _)| touched != segment));
        self.touched.append(&mut files);
    }

    fn write_chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let written = self.try_write_chunk(chunk);
        if written.is_err() {
            // The next attempt asks for the file by its name again.
            self.file = None;
        }
        written
    }

    fn try_write_chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let file = self.file_of(chunk.segment)?;
        if self.is_torn {
            // What follows would be written over half a chunk, and whole frames of it could remain behind it.
            file.set_len(self.length)?;
            self.is_torn = false;
        }
        if let Err(error) = file.write_all_at(&chunk.bytes, self.length) {
            self.is_torn = file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += super::as_u64(chunk.bytes.len());
        Ok(())
    }

    fn file_of(&mut self, segment: u64) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file
            && self.segment == segment
        {
            return Ok(file.clone());
        }
        let file = Arc::new(open_file(&segment_path(&self.folder, segment))?);
        if self.segment != segment {
            (self.segment, self.length) = (segment, file.metadata()?.len());
            self.is_torn = false;
        }
        self.touched.retain(|(touched, _)| *touched != segment);
        self.touched.push((segment, file.clone()));
        self.file = Some(file.clone());
        Ok(file)
    }
}
