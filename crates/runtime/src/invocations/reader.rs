//! Reads an answer, which may still be coming in. A slow reader holds up nobody: it reads what it
//! has missed from the file.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{Files, Part, read_at};
use super::live::{Live, Next, Upto};
use super::record::Record;

/// Most bytes that are read from a file at once.
const MOST: usize = 64 * 1024;

/// Somebody who reads an answer from its beginning.
pub(crate) struct Reader {
    source: Source,
    position: u64,
    broke_off: bool,
}

enum Source {
    Live(Arc<Live>, Upto),
    Held(Bytes),
    File(Arc<File>, u64),
}

impl Reader {
    /// Follows an invocation that may still run.
    pub(crate) fn follow(live: Arc<Live>, upto: Upto) -> Self {
        Self { source: Source::Live(live, upto), position: 0, broke_off: false }
    }

    /// Reads the answer of an invocation that has ended.
    pub(crate) async fn of(record: &Record, files: &Files) -> io::Result<Self> {
        let source = match &record.answer {
            Some(answer) => match &answer.body {
                Some(body) => Source::Held(body.clone()),
                None => {
                    let (file, length) = files.read(record.id, Part::Answer).await?;
                    Source::File(file, length.min(answer.bytes))
                }
            },
            None => Source::Held(Bytes::new()),
        };
        Ok(Self { source, position: 0, broke_off: false })
    }

    /// The next piece, once it is there; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let next = match &self.source {
            Source::Live(live, upto) => live.next(self.position, *upto).await,
            _ => self.kept(),
        };
        self.take(next).await
    }

    /// Whether the agent did not come to the end of an answer that was followed to its own.
    pub(crate) fn broke_off(&self) -> bool {
        self.broke_off
    }

    /// The next piece of what is there now; `None` if there is no more.
    pub(crate) async fn next_now(&mut self) -> io::Result<Option<Bytes>> {
        let next = match &self.source {
            Source::Live(live, upto) => live.now(self.position, *upto),
            _ => Some(self.kept()),
        };
        match next {
            Some(next) => self.take(next).await,
            None => Ok(None),
        }
    }

    fn kept(&self) -> Next {
        match &self.source {
            Source::Held(body) if (self.position as usize) < body.len() => {
                Next::Piece(body.slice(self.position as usize..))
            }
            Source::File(file, length) if self.position < *length => {
                Next::InFile(file.clone(), (*length - self.position) as usize)
            }
            _ => Next::End { complete: true },
        }
    }

    async fn take(&mut self, next: Next) -> io::Result<Option<Bytes>> {
        let piece = match next {
            Next::Piece(piece) => piece,
            Next::InFile(file, left) => read_at(&file, self.position, left.min(MOST)).await?,
            Next::End { complete } => {
                self.broke_off = !complete;
                return Ok(None);
            }
        };
        self.position += piece.len() as u64;
        Ok(Some(piece))
    }
}
