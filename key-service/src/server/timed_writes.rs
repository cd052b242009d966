//! A connection whose peer has to read at a minimum pace.
//!
//! Otherwise a peer that reads nothing, or hardly anything, could keep its place without limit. Only the time in which the
//! peer blocks a write counts, so a response may be delayed or sent in pieces.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_io_timeout::TimeoutStream;

use crate::time::monotonic_now;

/// The pace at which a peer has to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The peer reads something within this time.
    pub(crate) idle: Duration,
    /// The peer reads everything that is written within this time,
    pub(crate) grace: Duration,
    /// plus one second for each this many bytes.
    pub(crate) bytes_per_s: u32,
}

/// Writes fail with [`io::ErrorKind::TimedOut`] when the peer does not keep to the pace.
#[derive(Debug)]
pub(crate) struct TimedWrites<S> {
    stream: Pin<Box<TimeoutStream<S>>>,
    pace: Pace,
    backlog: Option<Backlog>,
}

/// The time since the peer first blocked a write.
#[derive(Debug)]
struct Backlog {
    began: Instant,
    /// The bytes written since then.
    written: u64,
    deadline: Pin<Box<Sleep>>,
}

impl Backlog {
    fn begin() -> Self {
        let began = Instant::from_std(monotonic_now());
        Backlog { began, written: 0, deadline: Box::pin(sleep_until(began)) }
    }

    /// Ready when the peer's time has run out.
    fn poll_deadline(&mut self, pace: Pace, context: &mut Context<'_>) -> Poll<()> {
        let earned = Duration::from_secs(self.written / u64::from(pace.bytes_per_s.max(1)));
        self.deadline.as_mut().reset(self.began + pace.grace + earned);
        self.deadline.as_mut().poll(context)
    }
}

impl<S: AsyncRead + AsyncWrite> TimedWrites<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(pace.idle));
        TimedWrites { stream, pace, backlog: None }
    }

    fn timed(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match (&outcome, &mut self.backlog) {
            (Poll::Pending, backlog) => {
                let backlog = backlog.get_or_insert_with(Backlog::begin);
                ready!(backlog.poll_deadline(self.pace, context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            (Poll::Ready(Ok(written)), Some(backlog)) => {
                backlog.written = backlog.written.saturating_add(*written as u64);
                outcome
            }
            _ => outcome,
        }
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncRead for TimedWrites<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for TimedWrites<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream.as_mut().poll_write(context, bytes);
        self.timed(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream.as_mut().poll_write_vectored(context, pieces);
        self.timed(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper and h2 flush when nothing is left to write. Then the peer is not behind.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.as_mut().poll_flush(context))?;
        self.backlog = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// A connection with room for 64 bytes, and its peer.
    fn connection(pace: Pace) -> (TimedWrites<DuplexStream>, DuplexStream) {
        let (stream, peer) = duplex(64);
        (TimedWrites::new(stream, pace), peer)
    }

    async fn read(peer: &mut DuplexStream, bytes: usize) {
        peer.read_exact(&mut vec![0; bytes]).await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_reads_a_little_now_and_then_is_let_go() {
        let pace = Pace { idle: LONG, grace: Duration::from_millis(100), bytes_per_s: 1_000_000 };
        let (mut stream, mut peer) = connection(pace);
        let reading = async {
            for _ in 0..1_000 {
                sleep(Duration::from_millis(10)).await;
                read(&mut peer, 1).await;
            }
        };
        let written = tokio::select! {
            written = stream.write_all(&[0; 1 << 20]) => written,
            () = reading => Ok(()),
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_let_go_although_it_read_much() {
        let pace = Pace { idle: Duration::from_secs(1), grace: LONG, bytes_per_s: 1 };
        let (mut stream, mut peer) = connection(pace);
        let (written, ()) = tokio::join!(stream.write_all(&[0; 4096]), read(&mut peer, 2048));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_at_its_pace_gets_all_however_long_that_takes() {
        let pace = Pace { idle: LONG, grace: Duration::from_secs(1), bytes_per_s: 10 };
        let (mut stream, mut peer) = connection(pace);
        let writing = async move { stream.write_all(&[0; 4_096]).await };
        let reading = async {
            read(&mut peer, 2_048).await;
            sleep(3 * pace.grace).await;
            read(&mut peer, 2_048).await;
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.unwrap();
    }

    #[tokio::test]
    async fn time_in_which_nothing_waits_to_be_written_does_not_count() {
        let pace = Pace { idle: LONG, grace: Duration::from_millis(500), bytes_per_s: 1_000_000 };
        let (mut stream, mut peer) = connection(pace);
        for _ in 0..2 {
            let writing = async {
                stream.write_all(&[0; 128]).await.unwrap();
                stream.flush().await.unwrap();
            };
            tokio::join!(writing, read(&mut peer, 128));
            sleep(2 * pace.grace).await;
        }
    }
}
