//! Planning walks trees recursively; it gets a stack that is large enough for the deepest query
//! that is accepted, whatever thread it runs on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes of the stack; only what is used takes memory.
const STACK_BYTES: usize = 128 << 20;

/// Drives a future on a large stack.
pub(crate) fn on_large_stack<F: Future>(future: F) -> OnLargeStack<F> {
    OnLargeStack(Box::pin(future))
}

/// A future that is polled on a stack of its own.
pub(crate) struct OnLargeStack<F>(Pin<Box<F>>);

impl<F: Future> Future for OnLargeStack<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        stacker::grow(STACK_BYTES, || self.0.as_mut().poll(context))
    }
}
