//! The decoder: lines by the fast path, and what that does not handle by the reference
//! decoder.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::fast::{Outcome, Table};
use super::reference::ReferenceDecoder;
use super::{Decoded, Lines};
use crate::contract::Contract;
use crate::json::scan::Cpu;

/// Decodes lines by one contract; each task has its own, for it remembers the orders of keys.
#[derive(Debug)]
pub struct Decoder {
    contract: Arc<Contract>,
    schema: SchemaRef,
    /// The batches' columns, by their places in [`Contract::arrow_schema`].
    projection: Vec<usize>,
    table: Table,
    reference: ReferenceDecoder,
    cpu: Cpu,
}

impl Decoder {
    /// Makes the contract ready; it is one that [`crate::contract::parse_contract`] would give out.
    pub fn new(contract: Arc<Contract>) -> Self {
        let all: Vec<usize> = (0..contract.arrow_schema().fields().len()).collect();
        Decoder::projected(contract, &all)
    }

    /// As [`Self::new`], but batches have only those columns of [`Contract::arrow_schema`] that
    /// `projection` names by their places, in that order.
    ///
    /// The other columns are never built, but the contract's rules hold for them as well: rejects
    /// and counts do not depend on the projection.
    ///
    /// # Panics
    /// If the schema has no such place.
    pub fn projected(contract: Arc<Contract>, projection: &[usize]) -> Self {
        Decoder::on_cpu(contract, projection, Cpu::best())
    }

    /// As [`Self::projected`], with the instructions of `cpu`, as far as this machine has them.
    ///
    /// # Panics
    /// If the schema has no such place.
    pub fn on_cpu(contract: Arc<Contract>, projection: &[usize], cpu: Cpu) -> Self {
        let all = contract.arrow_schema();
        let fields: Vec<_> = projection.iter().map(|place| all.fields()[*place].clone()).collect();
        Decoder {
            schema: Arc::new(Schema::new(fields)),
            projection: projection.to_vec(),
            table: Table::new(&contract, |column| projection.contains(&column)),
            reference: ReferenceDecoder::new(Arc::clone(&contract)),
            contract,
            cpu,
        }
    }

    /// The schema of every batch: [`Contract::arrow_schema`], projected.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes some lines; never fails, for each line ends as a row, a reject or blank.
    ///
    /// The batch and the rejects are in the lines' order. A batch's texts have 32-bit offsets, so
    /// a block of lines should have some MiB beyond its longest line, not GiB.
    pub fn decode(&mut self, lines: &Lines) -> Decoded {
        let Outcome { rejects, blank, findings } =
            self.table.decode(self.cpu, lines, &self.reference);
        let options = RecordBatchOptions::new().with_row_count(Some(self.table.len()));
        let arrays = self.table.take_arrays(&self.contract);
        let projected: Vec<ArrayRef> =
            self.projection.iter().filter_map(|place| arrays[*place].clone()).collect();
        // The table is built of the contract's columns and the projection, and each row has a value
        // for each column that is required.
        let batch = RecordBatch::try_new_with_options(self.schema(), projected, &options)
            .expect("arrays fit the contract's schema");
        findings.into_decoded(batch, rejects, blank)
    }
}

#[cfg(test)]
#[path = "differential_tests.rs"]
mod tests;
