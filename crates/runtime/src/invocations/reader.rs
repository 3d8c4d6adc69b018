//! Reads an answer, which may still be coming in. A slow reader holds up nobody: it reads what it
//! has missed from the file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{Files, Part, read_at};
use super::live::{Live, Next, Upto};
use super::record::Record;

/// Most bytes that are read from a file at once.
const MOST: usize = 64 * 1024;

/// Somebody who reads an answer, from its beginning unless it is a part.
pub(crate) struct Reader {
    source: Source,
    /// The agent came to the end of what is kept.
    is_whole: bool,
    position: u64,
    /// Where it stops.
    until: u64,
    broke_off: bool,
}

#[derive(Clone)]
enum Source {
    Live(Arc<Live>, Upto),
    Held(Bytes),
    File(Arc<File>, u64),
}

impl Reader {
    /// Follows an invocation that may still run.
    pub(crate) fn follow(live: Arc<Live>, upto: Upto) -> Self {
        Self::from(Source::Live(live, upto))
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
        Ok(Self::from(source))
    }

    /// Breaks off at the end of what is kept.
    pub(crate) fn without_end(self) -> Self {
        Self { is_whole: false, ..self }
    }

    /// Reads what is at some place of the same answer.
    pub(crate) fn part(&self, place: Range<u64>) -> Self {
        let source = self.source.clone();
        Self { source, is_whole: true, position: place.start, until: place.end, broke_off: false }
    }

    /// The next piece, once it is there; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.position == self.until {
            return Ok(None);
        }
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
            _ => Next::End { complete: self.is_whole },
        }
    }

    async fn take(&mut self, next: Next) -> io::Result<Option<Bytes>> {
        let most = usize::try_from(self.until - self.position).unwrap_or(usize::MAX);
        let piece = match next {
            Next::Piece(piece) => piece.slice(..piece.len().min(most)),
            Next::InFile(file, left) => read_at(&file, self.position, left.min(MOST).min(most)).await?,
            Next::End { complete } => {
                self.broke_off = !complete;
                return Ok(None);
            }
        };
        self.position += piece.len() as u64;
        Ok(Some(piece))
    }
}

impl From<Source> for Reader {
    fn from(source: Source) -> Self {
        Self { source, is_whole: true, position: 0, until: u64::MAX, broke_off: false }
    }
}
