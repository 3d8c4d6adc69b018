//! Small payloads that came along with the head of their request.
//!
//! hyper reads a body when somebody asks for more of it, which takes another turn of the connection, and
//! everything that stands between the two is polled again. A payload that is taken in before it is
//! handed on costs one turn of next to nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Most bytes that are taken in; one read of a connection seldom brings more.
const MOST: u64 = 16 * 1024;

/// The same body, its first piece taken in if it is small and there already: a session may begin while
/// the payload is on its way. Who asks before they send it (`Expect`) is told to go on by whoever wants
/// it.
pub(super) async fn at_hand<B>(headers: &HeaderMap, mut body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError> + Send> + Send + Unpin + 'static,
{
    let is_small = body.size_hint().exact().is_some_and(|length| (1..=MOST).contains(&length));
    if !is_small || headers.contains_key(EXPECT) {
        return Body::new(body);
    }
    let mut has_asked = false;
    let first = poll_fn(|context| match Pin::new(&mut body).poll_frame(context) {
        Poll::Ready(first) => Poll::Ready(first),
        Poll::Pending if has_asked => Poll::Ready(None),
        Poll::Pending => {
            has_asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match first.await {
        Some(first) => Body::new(AtHand { first: Some(first), rest: body }),
        None => Body::new(body),
    }
}

/// A body, the first piece of which has come.
struct AtHand<B: http_body::Body> {
    first: Option<Result<Frame<Bytes>, B::Error>>,
    rest: B,
}

// Nothing in it is ever pinned but the rest, which need not be.
impl<B: http_body::Body + Unpin> Unpin for AtHand<B> {}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for AtHand<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let (first, rest) = (first.map_or(0, |data| data.len() as u64), self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(first + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(first + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::VecDeque;

    use futures_util::FutureExt;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    /// A body of so many bytes that comes in these pieces; `None`: a turn without one.
    struct Pieces(u64, VecDeque<Option<&'static str>>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.1.pop_front() {
                Some(Some("broken")) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
                Some(Some(piece)) => {
                    self.0 -= piece.len() as u64;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
                }
                Some(None) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.1.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    fn pieces(length: u64, pieces: &[Option<&'static str>]) -> Pieces {
        Pieces(length, pieces.iter().copied().collect())
    }

    #[tokio::test]
    async fn a_body_that_is_there_at_the_second_look_is_at_hand() {
        let body = at_hand(&HeaderMap::new(), pieces(3, &[None, Some("one")])).await;
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        assert_eq!(body.collect().now_or_never().unwrap().unwrap().to_bytes(), "one");
    }

    #[tokio::test]
    async fn a_body_of_several_pieces_arrives_whole_and_what_is_missing_is_not_waited_for() {
        for late in [&[Some("one"), None, None, Some("two")][..], &[None, None, None, Some("onetwo")]] {
            let headers = HeaderMap::new();
            let mut looking = std::pin::pin!(at_hand(&headers, pieces(6, late)));
            let body = match looking.as_mut().now_or_never() {
                Some(body) => body,
                None => looking.now_or_never().expect("it looks once more, and no longer"),
            };
            assert_eq!(body.size_hint().exact(), Some(6));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_at_once_breaks_for_its_reader() {
        let body = at_hand(&HeaderMap::new(), pieces(6, &[Some("broken")])).await;
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_large_body_and_one_that_is_asked_for_first_are_left_where_they_are() {
        let asking = [(EXPECT, "100-continue".parse().unwrap())].into_iter().collect();
        for (headers, length) in [(HeaderMap::new(), MOST + 1), (asking, 3)] {
            let body = at_hand(&headers, pieces(length, &[Some("one")])).now_or_never();
            assert_eq!(body.expect("nothing is waited for").size_hint().exact(), Some(length));
        }
    }
}
