//! What a run's tables are made with, for the manifest; and whether they are made already.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use object_store::{Error as Failure, ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::lookups::describe_lookups;
use super::plan::RunPlan;
use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::{Manifest, ManifestInput, Provenance};
use crate::enrich::Enrichment;
use crate::pipeline::{ParameterValue, Reference};
use crate::store::{Store, Stores, store_error};

/// What the run's tables will be made with. Keys of `pseudonymize` are not among it: nobody shall
/// be able to guess them from a manifest.
pub(super) async fn provenance_of(
    plan: &RunPlan,
    lookups: &Enrichment,
    stores: &Stores,
) -> Result<Provenance> {
    let pipeline = &plan.pipeline;
    let sql = pipeline.views.iter().map(|view| (view.name.clone(), digest(&view.file.text)));
    let declared = plan.parameters.iter();
    let declared = declared.filter(|(name, _)| pipeline.parameters.contains_key(*name));
    let described = describe_lookups(lookups);
    let geoip = described.geoip.iter();
    let geoip = geoip.map(|base| format!("{} {}", base.database_type, base.build_date)).collect();
    let tax_table = match &pipeline.enrichment.tax_table {
        None => described.tax_table,
        Some(file) => {
            let text = std::fs::read_to_string(&file.path).map_err(|error| {
                Error::config(format!("tax table {}: {error}", file.path.display()))
            })?;
            format!("{} {}", described.tax_table, digest(&text))
        }
    };
    let mut references = Vec::new();
    for reference in &pipeline.references {
        references.extend(reference_objects(reference, stores).await?);
    }
    Ok(Provenance {
        ashiato: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: digest(&pipeline.file.text),
        contract: digest(&pipeline.contract_file.text),
        sql: sql.collect(),
        parameters: declared.map(|(name, value)| (name.clone(), text_of(value))).collect(),
        geoip,
        tax_table,
        references,
    })
}

/// Whether a published interval has what a run would make: from the same objects, with the same
/// provenance, at the same places.
pub(super) fn is_made_already(
    manifest: &Manifest,
    inputs: &[ManifestInput],
    provenance: &Provenance,
    plan: &RunPlan,
) -> bool {
    let sorted = |inputs: &[ManifestInput]| {
        let by_name = inputs.iter().map(|input| (input.location.clone(), input.clone()));
        by_name.collect::<BTreeMap<_, _>>()
    };
    let tables = plan.pipeline.outputs.iter().flat_map(|output| &output.tables);
    let roots: Result<BTreeSet<String>> =
        tables.map(|table| Ok(StoreLocation::parse(&table.location)?.absolute())).collect();
    let published: BTreeSet<String> =
        manifest.tables.iter().map(|table| table.root.clone()).collect();
    manifest.provenance == *provenance
        && sorted(&manifest.inputs) == sorted(inputs)
        && roots.is_ok_and(|roots| roots.is_subset(&published))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn text_of(value: &ParameterValue) -> String {
    match value {
        ParameterValue::String(text) => text.clone(),
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Int64(value) => value.to_string(),
        ParameterValue::Float64(value) => value.to_string(),
        ParameterValue::Date(day) => day.to_string(),
        ParameterValue::Timestamp(instant) => instant.to_rfc3339(),
    }
}

/// The objects of a table that is joined: one, or all below a folder.
async fn reference_objects(reference: &Reference, stores: &Stores) -> Result<Vec<ManifestInput>> {
    let store = Store::open(&StoreLocation::parse(&reference.location)?, stores)?;
    let failed = |error| store_error(&format!("looking at {}", reference.location), &error);
    match store.store.head(&store.prefix).await {
        Ok(object) => return Ok(vec![input_of(&store, object)]),
        Err(Failure::NotFound { .. }) => {}
        // A local folder is an object of another kind.
        Err(_) if store.local.as_deref().is_some_and(std::path::Path::is_dir) => {}
        Err(error) => return Err(failed(error)),
    }
    let objects = store.store.list(Some(&store.prefix)).try_collect::<Vec<_>>().await;
    let mut objects: Vec<_> =
        objects.map_err(failed)?.into_iter().map(|object| input_of(&store, object)).collect();
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(objects)
}

fn input_of(store: &Store, object: ObjectMeta) -> ManifestInput {
    ManifestInput {
        location: store.display_of(&object.location),
        bytes: object.size,
        e_tag: object.e_tag,
    }
}
