//! Pieces of an archive, written as zip while they come.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use futures::{Stream, StreamExt as _};
use store::Error;
use store::belongings::Piece;
use tokio::sync::OwnedSemaphorePermit;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

/// How many bytes are compressed between two chances for other tasks.
const STEP: usize = 64 * 1024;

/// Writes pieces as a zip archive. Nothing is read on while nobody takes what was written.
///
/// After an error no directory follows, without which a zip archive cannot be opened.
pub(super) fn zipped(
    pieces: impl Stream<Item = Result<Piece, Error>> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    async_stream::try_stream! {
        // One archive fewer is made at once from here to the end of the stream, whichever end it takes.
        let _place = place;
        let mut archive = Zip::new();
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            match piece.map_err(broken_off)? {
                Piece::File(name) => archive.begin(&name)?,
                Piece::Bytes(bytes) => {
                    for part in bytes.chunks(STEP) {
                        archive.write(part)?;
                        match archive.take(STEP) {
                            Some(written) => yield written,
                            None => tokio::task::yield_now().await,
                        }
                    }
                }
            }
        }
        yield archive.finish()?;
    }
}

/// Ends a stream whose head is out already: the connection breaks off.
fn broken_off(error: Error) -> io::Error {
    tracing::warn!(error = %error, "An archive broke off.");
    io::Error::other("the archive broke off")
}

/// A zip archive that hands out what it has written. It keeps in memory what its directory says of each file.
struct Zip {
    writer: ZipWriter<StreamWriter<Written>>,
    written: Written,
}

impl Zip {
    fn new() -> Self {
        let written = Written::default();
        Self { writer: ZipWriter::new_stream(written.clone()), written }
    }

    fn begin(&mut self, name: &str) -> io::Result<()> {
        // How long a file becomes is not known before it is written: room for more than 4 GiB is provided.
        let options = SimpleFileOptions::default().large_file(true);
        self.writer.start_file(name, options).map_err(io::Error::other)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Hands out what was written, once there is enough of it.
    fn take(&self, enough: usize) -> Option<Bytes> {
        let mut written = self.written.lock();
        (written.len() >= enough).then(|| Bytes::from(std::mem::take(&mut *written)))
    }

    fn finish(self) -> io::Result<Bytes> {
        let Self { writer, written } = self;
        writer.finish().map_err(io::Error::other)?;
        let bytes = std::mem::take(&mut *written.lock());
        Ok(Bytes::from(bytes))
    }
}

/// Where an archive writes to: the writer owns one end, and what it has written is taken at the other.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use futures::stream;
    use store::DbError;
    use tokio::sync::Semaphore;
    use zip::ZipArchive;

    use super::*;

    async fn written(pieces: Vec<Result<Piece, Error>>) -> (Vec<u8>, Option<io::Error>) {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut zipped = std::pin::pin!(zipped(stream::iter(pieces), place));
        let mut bytes = Vec::new();
        while let Some(part) = zipped.next().await {
            match part {
                Ok(part) => bytes.extend_from_slice(&part),
                Err(error) => return (bytes, Some(error)),
            }
        }
        (bytes, None)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[tokio::test]
    async fn what_is_written_can_be_read_again() {
        let noise = noise(300_000);
        let pieces = vec![
            Ok(Piece::File("a.jsonl".into())),
            Ok(Piece::Bytes(b"{}\n".to_vec())),
            Ok(Piece::Bytes(noise.clone())),
            Ok(Piece::File("empty".into())),
            Ok(Piece::File("files/b".into())),
            Ok(Piece::Bytes(b"b".to_vec())),
        ];
        let (bytes, error) = written(pieces).await;
        assert!(error.is_none());
        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut read = |name: &str| {
            let mut content = Vec::new();
            archive.by_name(name).unwrap().read_to_end(&mut content).unwrap();
            content
        };
        assert_eq!(read("a.jsonl"), [b"{}\n".as_slice(), &noise].concat());
        assert_eq!((read("empty"), read("files/b")), (vec![], b"b".to_vec()));
    }

    #[tokio::test]
    async fn an_archive_that_broke_off_cannot_be_opened() {
        let pieces = vec![
            Ok(Piece::File("a".into())),
            Ok(Piece::Bytes(noise(300_000))),
            Err(Error::Db(DbError::Corrupt("a test"))),
        ];
        let (bytes, error) = written(pieces).await;
        assert!(!bytes.is_empty() && error.is_some());
        assert!(ZipArchive::new(Cursor::new(bytes)).is_err());
    }

    #[tokio::test]
    async fn nothing_is_read_on_while_nobody_takes_what_was_written() {
        let taken = Arc::new(Mutex::new(0_usize));
        let count = Arc::clone(&taken);
        let pieces = (0..100).map(move |number| {
            *count.lock().unwrap() += 1;
            Ok(if number == 0 { Piece::File("a".into()) } else { Piece::Bytes(noise(100_000)) })
        });
        let semaphore = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        let mut zipped = Box::pin(zipped(stream::iter(pieces), place));
        zipped.next().await.unwrap().unwrap();
        assert!(*taken.lock().unwrap() < 5);
        assert_eq!(semaphore.available_permits(), 0);
        drop(zipped);
        assert_eq!(semaphore.available_permits(), 1);
    }
}
