//! What was generated, counted while it was written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::visit::LogVersion;

/// Counts of an object's or a whole run's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Lines, bad and blank ones among them.
    pub lines: u64,
    /// Lines that are records as the contract wants them.
    pub records: u64,
    /// Lines without anything but white space.
    pub blank: u64,
    /// Lines that the contract refuses, by reason.
    pub bad_lines: BTreeMap<&'static str, u64>,
    /// Records that are purchases of a negative quantity, which an expectation refuses.
    pub negative_quantities: u64,
    /// Records by their form, `v1` or `v2`.
    pub versions: BTreeMap<&'static str, u64>,
    /// Records by service.
    pub services: BTreeMap<&'static str, u64>,
    /// Records by event.
    pub events: BTreeMap<&'static str, u64>,
    /// Items of purchases.
    pub purchased_items: u64,
    /// Yen without tax of those items.
    pub purchased_amount: i64,
}

impl RecordCounts {
    /// Counts a record that is as the contract wants it.
    pub(super) fn count_record(
        &mut self,
        version: LogVersion,
        service: &'static str,
        event: &'static str,
    ) {
        let version = match version {
            LogVersion::V1 => "v1",
            LogVersion::V2 => "v2",
        };
        self.records += 1;
        *self.versions.entry(version).or_default() += 1;
        *self.services.entry(service).or_default() += 1;
        *self.events.entry(event).or_default() += 1;
    }

    /// Adds another object's counts.
    pub(super) fn add(&mut self, other: &RecordCounts) {
        self.lines += other.lines;
        self.records += other.records;
        self.blank += other.blank;
        self.negative_quantities += other.negative_quantities;
        self.purchased_items += other.purchased_items;
        self.purchased_amount += other.purchased_amount;
        let maps = [
            (&mut self.bad_lines, &other.bad_lines),
            (&mut self.versions, &other.versions),
            (&mut self.services, &other.services),
            (&mut self.events, &other.events),
        ];
        for (sum, counts) in maps {
            for (name, count) in counts {
                *sum.entry(name).or_default() += count;
            }
        }
    }
}

/// What a call generated: `lines = records + the bad lines + blank`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GenerateSummary {
    /// The number that all was drawn from.
    pub seed: u64,
    /// Objects written.
    pub files: u64,
    /// Their bytes before compression.
    pub bytes: u64,
    /// Their bytes on disk.
    pub compressed_bytes: u64,
    /// What their lines are.
    #[serde(flatten)]
    pub counts: RecordCounts,
}
