//! The body of an answer, which carries its settlement along.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use crate::ledger::{Finish, OpenRequest};

/// Dropped before its end, it says that the client went away.
pub(super) struct MeteredBody {
    inner: Body,
    open: Arc<OpenRequest>,
    finish: Finish,
}

impl MeteredBody {
    /// `finish` is what the end of `inner` stands for.
    pub fn new(inner: Body, open: Arc<OpenRequest>, finish: Finish) -> Self {
        let body = Self { inner, open, finish };
        body.note_end();
        body
    }

    /// A body that knows its end is not asked again after it.
    fn note_end(&self) {
        if self.inner.is_end_stream() {
            self.open.ended(self.finish);
        }
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {
                self.open.first_bytes();
                self.note_end();
            }
            Poll::Ready(Some(Err(_))) => self.open.ended(Finish::Error),
            Poll::Ready(None) => self.open.ended(self.finish),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
