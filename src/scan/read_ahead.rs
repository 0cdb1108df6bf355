//! The threads of a scan: framing ahead, decoding side by side, all in order.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::log_scan::{LogScan, UnreadableObject};
use super::origin::OriginColumns;
use super::{
    BudgetPermit, FrameOptions, Framed, ObjectBudget, ObjectFramer, ReadAccess, ReadBudget,
    Unreadable, Values, open_object,
};
use crate::base::error::{Error, Result};
use crate::base::long_tasks::spawn_long;
use crate::decode::{Decoded, Decoder, Lines, Reject, RejectReason};

/// Blocks of lines of one object that may wait to be decoded, besides the one being framed.
const BLOCKS_AHEAD: usize = 2;

/// Bytes of an object as stored that wait to be decompressed, at most.
const OBJECT_BYTES: u64 = 8 << 20;

/// What came of a part of an object; `object` is its number in the scan, `compressed_bytes` counts
/// from the object's start.
pub(crate) enum ScanEvent {
    /// Lines were decoded; they count against the budget until they are handed on.
    Lines { object: usize, decoded: Decoded, compressed_bytes: u64, permit: BudgetPermit },
    /// A line could not be decoded: too long, or broken off by a damage.
    Unfit { object: usize, reject: Reject, compressed_bytes: u64 },
    /// Nothing of the object could be read.
    Unreadable { object: usize, unreadable: UnreadableObject, compressed_bytes: u64 },
    /// The object was read to its end.
    End { object: usize, lines: u64, bytes: u64, compressed_bytes: u64 },
    /// Reading cannot go on.
    Failed(Error),
}

/// Reads the scan's objects; events come in the order of objects and lines.
///
/// Memory: `read_ahead_bytes` or a block of one line, whatever is more, for blocks of lines,
/// decoded or not; about as much for the objects' bytes as stored.
pub(crate) fn read_ahead(
    scan: Arc<LogScan>,
    runtime: Handle,
) -> Result<impl Stream<Item = ScanEvent> + Send> {
    let threads = scan.threads;
    // Objects ahead beyond these would only hold their bytes as stored.
    let objects_max = usize::try_from(scan.read_ahead_bytes / OBJECT_BYTES).unwrap_or(threads);
    let objects = threads.min(objects_max).max(1);
    let budget = ReadBudget::new(scan.read_ahead_bytes, scan.cancel.clone());
    let turns = Arc::clone(&budget);
    let access = Arc::new(ReadAccess::default());
    let decoders = Arc::new(Decoders {
        origin: OriginColumns::of(&scan)?,
        scan: Arc::clone(&scan),
        idle: Mutex::default(),
    });
    let framing = runtime.clone();
    let events = stream::iter(0..scan.objects.len())
        .map(move |object| {
            let reading = Reading {
                scan: Arc::clone(&scan),
                runtime: framing.clone(),
                budget: budget.of(object),
                access: Arc::clone(&access),
            };
            ready((object, reading.start(object)))
        })
        .buffered(objects)
        .flat_map(move |(object, parts)| {
            turns.set_turn(object);
            parts_of(parts)
        })
        .map(move |part| {
            let decoders = Arc::clone(&decoders);
            let decoded = runtime.spawn_blocking(move || decoders.decode(part));
            async move {
                decoded.await.unwrap_or_else(|error| {
                    ScanEvent::Failed(Error::Bug(format!("decoding a block of lines: {error}")))
                })
            }
        })
        .buffered(threads + 1);
    Ok(events)
}

/// A part of an object on its way to a decoder.
enum Part {
    Lines {
        object: usize,
        lines: Lines,
        compressed_bytes: u64,
        permit: BudgetPermit,
    },
    Values {
        object: usize,
        values: Values,
        compressed_bytes: u64,
        permit: BudgetPermit,
    },
    /// Nothing is left to decode.
    Event(ScanEvent),
}

/// What reading an object needs.
struct Reading {
    scan: Arc<LogScan>,
    runtime: Handle,
    budget: ObjectBudget,
    access: Arc<ReadAccess>,
}

impl Reading {
    /// Frames one object on a thread of its own. The last part is `End`, `Unreadable` or `Failed`.
    fn start(self, object: usize) -> mpsc::Receiver<Part> {
        let (sender, parts) = mpsc::channel(BLOCKS_AHEAD);
        spawn_long(&self.runtime.clone(), move || {
            if let Err(error) = frame_object(&self, object, &sender) {
                // Without a receiver nobody is left to hear of the error.
                let _ = sender.blocking_send(Part::Event(ScanEvent::Failed(error)));
            }
        });
        parts
    }

    /// The next part of an object; one that alone cannot be got is unreadable.
    fn next_framed(&self, framer: &mut ObjectFramer, object: usize) -> Result<Option<Framed>> {
        match framer.next_framed() {
            Err(error) if framer.compressed_bytes() == 0 => {
                let (store, objects) = (self.scan.store.as_ref(), &self.scan.objects);
                let judged = self.access.judge(store, objects, object, error);
                self.runtime.block_on(judged).map(|unreadable| Some(Framed::Unreadable(unreadable)))
            }
            framed => {
                self.access.note_read(object);
                framed
            }
        }
    }
}

fn frame_object(reading: &Reading, object: usize, parts: &mpsc::Sender<Part>) -> Result<()> {
    let (scan, budget) = (&reading.scan, &reading.budget);
    let listed = &scan.objects[object];
    if let Some(unreadable) = listed.unreadable.clone() {
        let _ = parts.blocking_send(unreadable_part(object, unreadable, 0));
        return Ok(());
    }
    let options = FrameOptions {
        framing: scan.framing,
        line_bytes_max: scan.contract.line_bytes_max,
        ..Default::default()
    };
    let (store, cancel) = (Arc::clone(&scan.store), scan.cancel.clone());
    let runtime = reading.runtime.clone();
    let mut framer = open_object(store, listed, options, runtime, cancel, Some(budget.clone()))?;
    // A block is there as it was read and decoded, a value's as it stood in the object too; and a
    // long line's batch soon waits for the queries beside the next one.
    let take = |bytes: usize, times: u64| {
        let times = if bytes > 2 * options.chunk_bytes_target { times + 1 } else { times };
        budget.take_block(bytes as u64 * times, || !parts.is_closed())
    };
    while let Some(framed) = reading.next_framed(&mut framer, object)? {
        let compressed_bytes = framer.compressed_bytes();
        let part = match framed {
            Framed::Lines(lines) => {
                let permit = take(lines.bytes.len(), 2);
                Part::Lines { object, lines, compressed_bytes, permit }
            }
            Framed::Values(values) => {
                let permit = take(values.lines.bytes.len(), 3);
                Part::Values { object, values, compressed_bytes, permit }
            }
            Framed::Reject(reject) if is_all_lost(&reject) => {
                let unreadable = lost_object(reject);
                Part::Event(ScanEvent::Unreadable { object, unreadable, compressed_bytes })
            }
            Framed::Reject(reject) => {
                Part::Event(ScanEvent::Unfit { object, reject, compressed_bytes })
            }
            Framed::Unreadable(unreadable) => unreadable_part(object, unreadable, compressed_bytes),
        };
        let is_last = matches!(part, Part::Event(ScanEvent::Unreadable { .. }));
        if parts.blocking_send(part).is_err() || is_last {
            return Ok(()); // nobody wants any more, or there is no more
        }
    }
    let (lines, bytes, compressed_bytes) =
        (framer.lines(), framer.bytes(), framer.compressed_bytes());
    let end = Part::Event(ScanEvent::End { object, lines, bytes, compressed_bytes });
    // Without a receiver nobody wants to hear of the end.
    let _ = parts.blocking_send(end);
    Ok(())
}

fn unreadable_part(object: usize, unreadable: Unreadable, compressed_bytes: u64) -> Part {
    let unreadable = UnreadableObject { unreadable, raw: Bytes::new(), bytes_omitted: 0 };
    Part::Event(ScanEvent::Unreadable { object, unreadable, compressed_bytes })
}

/// An object that breaks off before its first line ends has lost all of its rows, which is more
/// than one bad line.
fn is_all_lost(reject: &Reject) -> bool {
    reject.reason == RejectReason::DamagedStream && reject.line == 1
}

fn lost_object(reject: Reject) -> UnreadableObject {
    let format = reject.found.split_once(": ").map_or("json", |(format, _)| format).to_owned();
    let reason = format!("damaged before its first line ends: {}", reject.found);
    let unreadable = Unreadable { format, reason };
    UnreadableObject { unreadable, raw: reject.raw, bytes_omitted: reject.bytes_omitted }
}

/// The parts of one object. A thread that panicked has ended them early: they must not pass for
/// all of them.
fn parts_of(parts: mpsc::Receiver<Part>) -> impl Stream<Item = Part> + Send {
    stream::unfold(Some(parts), |parts| async {
        let mut parts = parts?;
        match parts.recv().await {
            Some(
                last @ Part::Event(
                    ScanEvent::End { .. } | ScanEvent::Unreadable { .. } | ScanEvent::Failed(_),
                ),
            ) => Some((last, None)),
            Some(part) => Some((part, Some(parts))),
            None => {
                let error = Error::Bug("the thread that read an object ended early".to_owned());
                Some((Part::Event(ScanEvent::Failed(error)), None))
            }
        }
    })
}

/// The decoders of a scan; each remembers the order of keys that it met last.
struct Decoders {
    scan: Arc<LogScan>,
    origin: OriginColumns,
    idle: Mutex<Vec<Decoder>>,
}

impl Decoders {
    fn decode(&self, part: Part) -> ScanEvent {
        let (object, compressed_bytes, permit, decoded) = match part {
            Part::Lines { object, lines, compressed_bytes, permit } => {
                (object, compressed_bytes, permit, self.decode_lines(&lines))
            }
            Part::Values { object, values, compressed_bytes, permit } => {
                let decoded = values.restore(self.decode_lines(&values.lines));
                (object, compressed_bytes, permit, decoded)
            }
            Part::Event(event) => return event,
        };
        match self.origin.add_to(&decoded.batch, &self.scan.objects[object]) {
            Ok(batch) => {
                let decoded = Decoded { batch, ..decoded };
                ScanEvent::Lines { object, decoded, compressed_bytes, permit }
            }
            Err(error) => ScanEvent::Failed(error),
        }
    }

    fn decode_lines(&self, lines: &Lines) -> Decoded {
        let idle = self.idle().pop();
        let mut decoder = idle.unwrap_or_else(|| {
            Decoder::projected(Arc::clone(&self.scan.contract), &self.scan.decoded_columns())
        });
        let decoded = decoder.decode(lines);
        self.idle().push(decoder);
        decoded
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Decoder>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
