//! What senders are told of their events.

use std::fmt;

use uuid::Uuid;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The events' ids, in their order.
    pub ids: Vec<EventId>,
    /// The visit, for those whose ids are taken.
    pub visit: Option<VisitReceipt>,
}

/// An event's id as its line has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EventId {
    /// A UUID, the client's or one that was made for it.
    Uuid(Uuid),
    /// The client's text as JSON, or its number.
    Json(Box<str>),
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventId::Uuid(id) => write!(f, "{id}"),
            EventId::Json(json) => match serde_json::from_str::<String>(json) {
                Ok(text) => f.write_str(&text),
                Err(_) => f.write_str(json),
            },
        }
    }
}

/// A visit as its visitor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VisitReceipt {
    pub long: Uuid,
    pub short: Uuid,
    pub seq: u64,
    /// When it was renewed last, which its cookie says too.
    pub seen_ms: i64,
    /// Now, when the visitor is renewed.
    pub now_ms: i64,
}
